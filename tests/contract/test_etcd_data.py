"""etcd's data on a host: taking a snapshot of it and restoring one, with etcd's programs as scripts that do what they say.

Whatever fails or is cut off, the data that was there is there.
"""

from __future__ import annotations

import os
import subprocess

import pytest
from apply_room import Room

from kprov.apply import scripts, wire
from kprov.apply.batch import Batch
from kprov.apply.snapshot import read
from kprov.apply.wire_format import Operation
from kprov.values.errors import BackupError

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="a mount namespace with file systems of its own needs root")

# Makes data as etcdutl does, and says in it what it was asked.
RESTORES = """[ "$1 $2" = "snapshot restore" ] || exit 9
for word in "$@"; do [ -z "$next" ] || { folder=$word; next=; }; [ "$word" != --data-dir ] || next=yes; done
mkdir -p $folder/member/snap && cat "$3" > $folder/member/snap/db && echo "$*" > /srv/asked"""
FAILS = "echo 'Error: expected sha256 [1], got [2]' >&2; exit 1"
CHOWN = "exit 0"  # there is no account etcd in the room


def restoring(**change: object) -> wire.RestoreSnapshot:
    values = {"name": "a", "url": "https://a:2380", "initial": "a=https://a:2380", "token": "t1", "bump": 10**12}
    return wire.RestoreSnapshot(**{"payload": "", **values, **change})  # type: ignore[arg-type]


def restored(room: Room, content: bytes = b"new", *more: Operation, **change: object) -> list[str]:
    """The last answer of an apply that restores."""
    batch = Batch()
    batch.add("data", restoring(payload=batch.attach(content, "snapshot.db"), **change))
    return room.apply(batch)[-1]


def old_data(room: Room) -> None:
    room.stub("/opt/kprov/bin/etcdutl", RESTORES)
    room.stub("chown", CHOWN)
    room.text("mkdir -p /var/lib/etcd/member/snap && echo old > /var/lib/etcd/member/snap/db")


def data(room: Room) -> dict[str, str]:
    """Folder below etcd's → the content of the database in it."""
    return dict(
        line.split(" ", 1)
        for line in room.text("cd /var/lib/etcd && for f in *; do echo $f $(cat $f/snap/db); done").splitlines()
    )


OK = ["done", "0", "-"]


def test_a_snapshot_takes_the_place_of_the_data_which_is_kept_aside(room: Room) -> None:
    old_data(room)
    assert restored(room) == OK
    assert data(room) == {"member": "new", "before-t1": "old"}
    words = room.text("cat /srv/asked")
    for flag in (
        "--name a --initial-advertise-peer-urls https://a:2380 --initial-cluster a=https://a:2380",
        "--initial-cluster-token t1 --bump-revision 1000000000000 --mark-compacted",
    ):
        assert flag in words


def test_a_host_without_data_gets_it(room: Room) -> None:
    old_data(room)
    room.text("rm -rf /var/lib/etcd/member")
    assert restored(room) == OK
    assert data(room) == {"member": "new"}


def test_the_same_restore_again_keeps_what_was_there_at_first(room: Room) -> None:
    old_data(room)
    assert restored(room) == OK
    assert restored(room, b"new again") == OK
    assert data(room) == {"member": "new again", "before-t1": "old"}


def test_another_restore_keeps_what_the_first_one_made(room: Room) -> None:
    old_data(room)
    assert restored(room) == OK
    assert restored(room, b"third", token="t2") == OK
    assert data(room) == {"member": "third", "before-t1": "old", "before-t2": "new"}


@pytest.mark.parametrize(
    "cut", ["mv /var/lib/etcd/member /var/lib/etcd/before-t1", "mkdir -p /var/lib/etcd/restored/member"]
)
def test_one_that_was_cut_off_goes_on(room: Room, cut: str) -> None:
    old_data(room)
    room.text(cut)
    assert restored(room) == OK
    assert data(room) == {"member": "new", "before-t1": "old"}


def test_a_snapshot_that_etcdutl_refuses_leaves_the_data_where_it_is(room: Room) -> None:
    old_data(room)
    room.stub("/opt/kprov/bin/etcdutl", FAILS)
    assert restored(room) == ["fail", "1", "Error: expected sha256 [1], got [2]"]
    assert data(room) == {"member": "old"}


def test_a_disk_without_room_leaves_the_data_where_it_is(room: Room) -> None:
    old_data(room)
    room.stub("df", "printf 'Avail\\n1048576\\n'")
    answer = restored(room)
    assert answer[:2] == ["fail", "1"]
    assert answer[2] == "too little room in /var/lib/etcd: 1 MiB free, needed are 65 MiB"
    assert data(room) == {"member": "old"}


def test_data_of_a_cluster_that_is_no_more_is_kept_aside_before_a_join(room: Room) -> None:
    old_data(room)
    room.stub("systemctl", "exit 0")
    room.stub("date", 'case $1 in +%Y*) echo 20261130T170000Z ;; *) exec /bin/date "$@" ;; esac')
    batch = Batch()
    batch.add("stale", wire.SetDataAside())
    assert room.apply(batch)[-1] == OK
    assert data(room) == {"before-20261130T170000Z": "old"}
    assert room.apply(batch)[-1] == OK, "a join that was cut off asks again, and there is nothing to set aside"


KEYS = "/registry/pods/ns/a\\n\\n/registry/pods/ns/b\\n\\n/registry/nodes/n\\n\\ncompact_rev_key\\n"
ETCDCTL = f"""case "$*" in
*'snapshot save'*) for last in "$@"; do :; done; printf content > $last ;;
*--keys-only*) echo "$*" > /srv/asked; printf '{KEYS}' ;;
esac"""
STATUS = """echo '{"hash":7,"revision":42,"totalKey":4,"totalSize":9,"version":"3.7.0"}'"""


def snapshot(room: Room) -> subprocess.CompletedProcess[bytes]:
    return room.sh("sh -s", scripts.text("snapshot.sh"))


def test_a_snapshot_is_taken_with_what_is_in_it(room: Room) -> None:
    room.stub("/opt/kprov/bin/etcdctl", ETCDCTL)
    room.stub("/opt/kprov/bin/etcdutl", STATUS)
    found = read(snapshot(room).stdout, "a", "")
    assert (found.size, found.hash, found.revision, found.keys) == (7, 7, 42, 4)
    assert found.counts == {"nodes": 1, "pods": 2}
    assert "--rev=42" in room.text("cat /srv/asked")
    assert room.text("stat -c '%a %n' /var/lib/kprov/snapshot /var/lib/kprov/snapshot/*") == (
        "700 /var/lib/kprov/snapshot\n600 /var/lib/kprov/snapshot/db\n"
    )
    assert found.sha256 == room.text("cat /var/lib/kprov/snapshot/db").encode().hex(), "etcd's own stands at the end"


def test_a_full_disk_on_the_host_is_told_and_nothing_stays(room: Room) -> None:
    room.stub("df", "printf 'Avail\\n1048576\\n'")
    with pytest.raises(BackupError, match="too little room for a snapshot") as caught:
        read(snapshot(room).stdout, "a", "")
    assert (caught.value.where, caught.value.found, caught.value.needed) == (
        "a", "1 MiB free below /var/lib/kprov", "64 MiB",
    )  # fmt: skip
    assert room.text("ls /var/lib/kprov") == ""


@pytest.mark.parametrize(
    ("program", "text", "said"),
    [
        ("etcdctl", "echo 'Error: context deadline exceeded' >&2; exit 1", "etcdctl snapshot save: Error: context"),
        (
            "etcdutl",
            "echo 'Error: snapshot file integrity check failed' >&2; exit 1",
            "etcdutl snapshot status: Error:",
        ),
        ("etcdctl", f'case "$*" in *--keys-only*) echo no >&2; exit 1 ;; esac\n{ETCDCTL}', "counting the keys: no"),
    ],
)
def test_each_program_that_fails_is_told_and_nothing_stays(room: Room, program: str, text: str, said: str) -> None:
    room.stub("/opt/kprov/bin/etcdctl", ETCDCTL)
    room.stub("/opt/kprov/bin/etcdutl", STATUS)
    room.stub(f"/opt/kprov/bin/{program}", text)
    with pytest.raises(BackupError, match="etcd gave no snapshot") as caught:
        read(snapshot(room).stdout, "a", "")
    assert caught.value.found.startswith(said)
    assert room.text("ls /var/lib/kprov") == ""


def test_an_answer_that_was_cut_off_is_no_snapshot() -> None:
    for answer in (b"", b"file\t7\tab\n", b"file\t7\tab\nstatus\t{\n", b"file\t7\n"):
        with pytest.raises(BackupError, match="did not say what it took"):
            read(answer, "a", "")


def test_a_unit_is_killed_and_its_stamp_goes_before_it_is_stopped(room: Room) -> None:
    room.stub("systemctl", 'case $1 in show) echo /none ;; *) echo "$*" >> /srv/calls ;; esac')
    room.text("mkdir -p /var/lib/kprov/stamps && echo x > /var/lib/kprov/stamps/a.service")
    batch = Batch()
    batch.add("a", wire.Kill(unit="a.service"))
    assert room.apply(batch)[-1] == OK
    assert room.text("cat /srv/calls").splitlines() == ["kill -s KILL a.service", "stop a.service"]
    assert room.text("ls /var/lib/kprov/stamps") == ""


def test_data_is_seen_where_the_client_that_lists_members_is_gone(room: Room) -> None:
    """Data that is thought to be gone would be restored over, or founded anew."""
    room.text(
        "cp -a /etc /srv/ && mkdir -p /srv/etc/etcd/pki && mount --bind /srv/etc /etc; mkdir -p /var/lib/etcd/member/wal"
    )
    room.stub("systemctl", "exit 3")
    seen = room.observe().etcd
    assert seen.has_data
    assert not seen.members
    assert seen.size == 0
    room.text("mkdir /var/lib/etcd/member/snap; head -c 20480 /dev/zero > /var/lib/etcd/member/snap/db")
    assert room.observe().etcd.size == 20480
    room.text("rm -r /var/lib/etcd/member")
    assert not room.observe().etcd.has_data
