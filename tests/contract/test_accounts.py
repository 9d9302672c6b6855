"""Accounts, groups and packages that are not kprov's, met by apply.sh for real: taken as they are, and still there after.

The room has an /etc of its own in which accounts are made; apt is a script.
"""

from __future__ import annotations

import pytest
from apply_room import Room

from kprov.apply import wire
from kprov.apply.batch import Batch
from kprov.apply.operations import write_removal
from kprov.observe.probe import Question

NAME = "etcd-of-a-test"


@pytest.fixture
def accounts(room: Room) -> Room:
    room.text(
        "mkdir /srv/upper /srv/work && mount -t overlay -o lowerdir=/etc,upperdir=/srv/upper,workdir=/srv/work etc /etc"
    )
    return room


def known(room: Room) -> str:
    return room.text(f"getent passwd {NAME} | cut -d : -f 1,3,4,6,7; getent group {NAME}; true")


def made(room: Room) -> None:
    batch = Batch()
    batch.know(("user", NAME), "marked")
    batch.add("user", wire.User(name=NAME, home="/var/lib/etcd"))
    assert room.apply(batch)[-1] == ["done", "0", "-"]


def removed(room: Room) -> None:
    batch = Batch()
    write_removal(batch, ("user", NAME), room.observe())
    assert room.apply(batch)[-1] == ["done", "0", "-"]


@pytest.mark.parametrize(
    "there",
    [
        pytest.param("true", id="neither"),
        pytest.param(f"groupadd --gid 7654 {NAME}", id="only the group"),
        pytest.param(f"useradd --uid 7654 --gid daemon {NAME}", id="only the account"),
        pytest.param(f"useradd --uid 7654 --user-group --home-dir /srv/x {NAME}", id="both"),
        pytest.param(f"groupadd {NAME}; useradd --gid daemon {NAME}", id="both, and not in its own group"),
    ],
)
def test_what_there_is_of_an_account_is_taken_as_it_is_and_stays(accounts: Room, there: str) -> None:
    accounts.text(there)
    before = known(accounts)
    made(accounts)
    assert (
        accounts.text(f"getent passwd {NAME} > /dev/null && getent group {NAME} > /dev/null && echo there") == "there\n"
    )
    assert accounts.observe(Question(keys=[("user", NAME)], facts=False)).users == {NAME}
    assert not set(before.splitlines()) - set(known(accounts).splitlines()), "as it was"
    made(accounts)
    removed(accounts)
    assert known(accounts) == before


@pytest.mark.parametrize("there", [f"useradd --gid daemon {NAME}", f"groupadd {NAME}"])
def test_an_account_without_its_group_is_not_seen_as_there(accounts: Room, there: str) -> None:
    accounts.text(there)
    assert accounts.observe(Question(keys=[("user", NAME)], facts=False)).users == set()


def test_an_account_that_somebody_made_meanwhile_is_not_deleted(accounts: Room) -> None:
    """kprov had announced it, and failed; the administrator made it by hand."""
    accounts.stub("useradd", "echo 'useradd: cannot lock /etc/passwd'; exit 1")
    batch = Batch()
    batch.know(("user", NAME), "marked")
    batch.add("user", wire.User(name=NAME, home="/var/lib/etcd"))
    assert accounts.apply(batch)[-1][0] == "fail"
    accounts.text(f"rm /usr/local/sbin/useradd; useradd --gid {NAME} --comment 'of the team' {NAME}")
    before = known(accounts)
    made(accounts)
    removed(accounts)
    assert known(accounts) == before


def test_an_account_of_an_older_kprov_goes(accounts: Room) -> None:
    accounts.text(f"useradd --user-group {NAME}; mkdir -p /var/lib/kprov")
    accounts.text(f"printf 'user\\t{NAME}\\t-\\t-\\tabsent\\n' > /var/lib/kprov/ledger")
    removed(accounts)
    assert known(accounts) == ""
    accounts.text(f"useradd --user-group {NAME}; printf 'user\\t{NAME}\\t-\\t-\\tpresent\\n' > /var/lib/kprov/ledger")
    before = known(accounts)
    removed(accounts)
    assert known(accounts) == before != ""


APT = """
case "$*" in
*'-s purge'*) for word in "$@"; do case $word in -* | purge | *=*) ;; *) echo "Purg $word [1]"
    [ "$word" != lib ] || [ ! -e /srv/theirs ] || echo 'Remv theirs [1]' ;; esac; done ;;
*install*) [ ! -e /srv/locked ] || exit 100; printf 'base\\nlib\\ntool\\n' > /srv/packages ;;
*purge*) echo "$*" >> /srv/purged ;;
esac
"""


@pytest.fixture
def packages(room: Room) -> Room:
    room.stub("apt-get", APT)
    room.stub("dpkg-query", "cat /srv/packages")
    room.text("echo base > /srv/packages")
    return room


def installed(room: Room) -> str:
    batch = Batch()
    batch.know(("package", "tool"), "no-such-tool")
    batch.add("package", wire.Package(name="tool", command="no-such-tool", service="", manager="apt"))
    return room.apply(batch)[-1][0]


def purged(room: Room) -> str:
    batch = Batch()
    batch.add("package", wire.RemovePackage(name="tool", before="absent", manager="apt"))
    assert room.apply(batch)[-1] == ["done", "0", "-"]
    return room.text("cat /srv/purged 2> /dev/null; true")


def test_a_package_leaves_with_what_it_brought_along(packages: Room) -> None:
    assert installed(packages) == "done"
    assert purged(packages) == "-o DPkg::Lock::Timeout=60 purge -y lib tool\n"


def test_what_a_package_of_somebody_elses_needs_by_now_stays(packages: Room) -> None:
    assert installed(packages) == "done"
    packages.text("touch /srv/theirs")
    assert purged(packages) == "-o DPkg::Lock::Timeout=60 purge -y tool\n"


def test_a_package_that_kprov_could_not_install_and_somebody_did_stays(packages: Room) -> None:
    packages.text("touch /srv/locked")
    assert installed(packages) == "fail"
    assert purged(packages) == ""


@pytest.mark.parametrize(("needed", "calls"), [(True, ""), (False, "remove -y tool\n")])
def test_with_rpm_too_what_is_needed_by_others_stays(packages: Room, needed: bool, calls: str) -> None:
    packages.stub("rpm", f"exit {int(needed)}")
    packages.stub("dnf", 'echo "$*" >> /srv/purged')
    batch = Batch()
    batch.add("package", wire.RemovePackage(name="tool", before="absent", manager="dnf"))
    assert packages.apply(batch)[-1] == ["done", "0", "-"]
    assert packages.text("cat /srv/purged 2> /dev/null; true") == calls
