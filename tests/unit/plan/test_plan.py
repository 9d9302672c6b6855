"""The plan: what differs, why, and which units restart because of it."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from observed import FACTS, bare, in_order, planned, record

from kprov.observe.observation import FileState, UnitState
from kprov.observe.probe import program
from kprov.plan.desired import MODULES_FILE, SYSCTL_FILE, expand, questions
from kprov.plan.difference import LOOSE
from kprov.plan.host import JOIN_FILE, stamp
from kprov.values.resources import (
    Artifact,
    Binary,
    Directory,
    File,
    Image,
    KernelModule,
    Package,
    SwapOff,
    Sysctl,
    Unit,
    User,
)

ARTIFACT = Artifact(name="etcd", version="1", arch="amd64", sha256="a" * 64, size=1, local="/x")
CONFIG = File(path="/etc/etcd/conf", content=b"one\n")
RELOADED = File(path="/etc/etcd/reloaded", content=b"two\n")
BINARY = Binary(path="/opt/kprov/bin/etcd", artifact=ARTIFACT)
UNIT = Unit(
    name="etcd.service",
    content=b"[Service]\n",
    reads=frozenset({CONFIG.path, BINARY.path}),
    reloads=frozenset({RELOADED.path}),
)
WANTED = {"host": [Sysctl(name="net.ipv4.ip_forward", value="1")], "etcd": [BINARY, CONFIG, RELOADED, UNIT]}


def settled():  # type: ignore[no-untyped-def]
    return in_order(expand(WANTED), planned(WANTED, bare()))


def test_a_bare_host_gets_everything_and_starts_its_unit() -> None:
    plan = planned(WANTED, bare())
    assert {change.key[0] for change in plan.changes} == {"sysctl", "file", "binary", "directory", "unit"}
    assert [restart.reason for restart in plan.restarts] == ["it is new"]
    assert not plan.restarts[0].running


def test_a_host_in_order_needs_nothing() -> None:
    assert planned(WANTED, settled()).empty


def test_what_the_conversation_with_etcd_wrote_goes_with_etcd_alone() -> None:
    """It would keep its folder for good."""
    joined = settled()
    seen = replace(joined, records=dict([*joined.records.items(), record("file", JOIN_FILE)]))
    assert planned(WANTED, seen).empty
    without = {"host": WANTED["host"]}
    assert ("file", JOIN_FILE) in {change.key for change in planned(without, seen).changes if change.action == "delete"}


def test_parents_are_implied_but_the_system_folders_are_not() -> None:
    paths = [item.path for item in expand(WANTED)["etcd"] if isinstance(item, Directory)]
    assert paths == ["/opt/kprov", "/opt/kprov/bin", "/etc/etcd"]


def test_sysctls_and_modules_last_over_a_reboot() -> None:
    expanded = expand({"host": [Sysctl(name="a.b", value="1"), KernelModule(name="overlay")]})
    files = {item.path: item.content for item in expanded["host"] if isinstance(item, File)}
    assert files == {SYSCTL_FILE: b"a.b = 1\n", MODULES_FILE: b"overlay\n"}
    # Files are read in the order of their names, and the last one wins (sysctl.d(5)): the administrator's 99-… does not.
    assert SYSCTL_FILE.removeprefix("/etc/sysctl.d/") > "99-zzz.conf"


def test_one_key_cannot_be_desired_in_two_ways() -> None:
    with pytest.raises(ValueError, match="two ways"):
        expand({"a": [CONFIG], "b": [replace(CONFIG, content=b"other")]})


def test_the_same_resource_of_two_stages_belongs_to_the_first() -> None:
    expanded = expand({"a": [CONFIG], "b": [CONFIG]})
    assert CONFIG in expanded["a"]
    assert CONFIG not in expanded["b"]


def test_everything_that_is_desired_is_asked_about() -> None:
    keys = questions(expand(WANTED), {})
    assert ("file", CONFIG.path) in keys
    assert ("unit", "etcd.service") in keys
    assert ("file", UNIT.path) in keys


def test_what_is_recorded_is_not_asked_about_again() -> None:
    desired = expand({"a": [CONFIG, Directory(path="/var/lib/etcd", purge=True), Directory(path="/srv/kept")]})
    keys = questions(desired, {})
    assert ("holds", "/var/lib/etcd") in keys, "what down will empty may hold somebody else's data"
    assert ("holds", "/srv/kept") not in keys
    assert questions(desired, dict.fromkeys(keys)) == ()


def changed(path: str, **fields: object):  # type: ignore[no-untyped-def]
    seen = settled()
    return replace(seen, files={**seen.files, path: replace(seen.files[path], **fields)})


def test_a_changed_input_restarts_what_reads_it_and_says_so() -> None:
    plan = planned(WANTED, changed(CONFIG.path, sha256="f" * 64))
    assert [(change.action, change.reasons) for change in plan.changes] == [("update", ("it was changed on the host",))]
    assert [restart.reason for restart in plan.restarts] == [f"it reads {CONFIG.path}, which changes"]
    assert plan.restarts[0].running
    assert plan.unstamps[CONFIG.path] == ("etcd.service",)


def test_what_a_unit_reads_again_by_itself_restarts_nothing() -> None:
    plan = planned(WANTED, changed(RELOADED.path, sha256="f" * 64))
    assert len(plan.changes) == 1
    assert not plan.restarts


def test_a_changed_mode_is_put_right_without_a_restart() -> None:
    plan = planned(WANTED, changed(CONFIG.path, mode=0o666))
    assert [(change.action, change.reasons) for change in plan.changes] == [
        ("permissions", ("mode 0666, desired 0644",))
    ]
    assert not plan.restarts


def test_an_edited_unit_file_restarts_its_unit() -> None:
    plan = planned(WANTED, changed(UNIT.path, sha256="f" * 64))
    assert [restart.reason for restart in plan.restarts] == ["its unit file changes"]


def test_a_foreign_file_in_our_place_is_told_from_a_changed_one() -> None:
    seen = changed(CONFIG.path, sha256="f" * 64)
    records = {key: value for key, value in seen.records.items() if key != CONFIG.key}
    assert planned(WANTED, replace(seen, records=records)).changes[0].reasons == ("a foreign file is in its place",)


def test_new_desired_content_is_told_from_drift() -> None:
    desired = {**WANTED, "etcd": [BINARY, replace(CONFIG, content=b"new\n"), RELOADED, UNIT]}
    assert planned(desired, settled()).changes[0].reasons == ("the desired content is new",)


def test_a_directory_in_a_files_place_is_replaced() -> None:
    plan = planned(WANTED, changed(CONFIG.path, kind="directory"))
    assert plan.changes[0].reasons == ("there is a directory in its place",)


def test_a_removed_file_comes_back() -> None:
    seen = settled()
    files = {path: state for path, state in seen.files.items() if path != CONFIG.path}
    assert planned(WANTED, replace(seen, files=files)).changes[0].reasons == ("it was removed on the host",)


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (UnitState(active="failed", enabled="enabled", needs_reload=False, loaded=True), "it is not running: failed"),
        (
            UnitState(
                active="activating", enabled="enabled", needs_reload=False, loaded=True, sub="auto-restart", restarts=7
            ),
            "it is not running: activating (auto-restart), restarted 7 times by systemd",
        ),
        (UnitState(active="active", enabled="disabled", needs_reload=False, loaded=True), "it is not enabled at boot"),
        (
            UnitState(active="active", enabled="enabled", needs_reload=True, loaded=True),
            "systemd runs it from an older unit file",
        ),
    ],
)
def test_a_unit_that_is_not_as_it_should_be_restarts(state: UnitState, reason: str) -> None:
    plan = planned(WANTED, replace(settled(), units={"etcd.service": state}))
    assert [restart.reason for restart in plan.restarts] == [reason]


def test_a_run_that_died_between_change_and_restart_is_finished_by_the_next() -> None:
    # All files are right and the unit runs, but its stamp was taken away before the change.
    plan = planned(WANTED, replace(settled(), stamps={}))
    assert not plan.changes
    assert [restart.reason for restart in plan.restarts] == ["not yet confirmed healthy with its current configuration"]


def test_what_is_right_but_unrecorded_is_only_recorded() -> None:
    seen = settled()
    records = {key: value for key, value in seen.records.items() if key != CONFIG.key}
    plan = planned(WANTED, replace(seen, records=records))
    assert [change.action for change in plan.changes] == ["record"]
    assert not plan.restarts


def test_what_is_recorded_and_no_longer_desired_goes() -> None:
    seen = settled()
    records = {**seen.records, **dict([record("file", "/etc/old")])}
    plan = planned(WANTED, replace(seen, records=records))
    assert [(change.stage, change.action, change.key) for change in plan.changes] == [
        ("cleanup", "delete", ("file", "/etc/old"))
    ]


def test_a_unit_that_reads_a_removed_file_loses_its_stamp_with_it() -> None:
    seen = settled()
    desired = {**WANTED, "etcd": [BINARY, RELOADED, UNIT]}  # CONFIG is removed, but still read
    assert planned(desired, seen).unstamps[CONFIG.path] == ("etcd.service",)


def test_the_stamp_follows_every_input() -> None:
    contents = {CONFIG.path: CONFIG.sha256, BINARY.path: ARTIFACT.sha256}
    first = stamp(UNIT, contents)
    assert stamp(UNIT, {**contents, CONFIG.path: "0"}) != first
    assert stamp(UNIT, {**contents, BINARY.path: "0"}) != first
    assert stamp(replace(UNIT, content=b"x"), contents) != first
    assert stamp(UNIT, {**contents, RELOADED.path: "0"}) == first


SIMPLE = {
    "host": [
        User(name="etcd"),
        Package(name="haproxy", command="haproxy"),
        SwapOff(),
        KernelModule(name="overlay"),
        Sysctl(name="a.b", value="1 2"),
        Image(reference="x:1", artifact=ARTIFACT),
    ]
}


def test_simple_things_are_desired_where_they_are_not() -> None:
    plan = planned(SIMPLE, bare(swap=True))
    reasons = {change.key: change.reasons[0] for change in plan.changes}
    assert reasons[("user", "etcd")] == "it, or the group of its name, is not there"
    assert reasons[("package", "haproxy")] == "it is not installed"
    assert reasons[("swap", "off")] == "swap is on"
    assert reasons[("module", "overlay")] == "it is not loaded"
    assert reasons[("sysctl", "a.b")] == "the kernel does not show it yet"
    assert reasons[("image", "x:1")] == "it is not in the runtime's store"


def test_simple_things_that_are_there_are_left_alone() -> None:
    expanded = expand(SIMPLE)
    base = in_order(expanded, planned(SIMPLE, bare()))
    keys = [("user", "etcd"), ("package", "haproxy"), ("swap", "off"), ("module", "overlay"), ("sysctl", "a.b")]
    records = {**base.records, **dict(record(kind, name) for kind, name in keys)}
    records.update([record("image", "x:1", ARTIFACT.sha256)])
    seen = replace(
        base,
        facts=replace(FACTS, commands=frozenset({"haproxy"})),
        records=records,
        users=frozenset({"etcd"}),
        loaded=frozenset({"overlay"}),
        sysctls={"a.b": "1 2"},
        images={"x:1": False},
    )
    assert planned(SIMPLE, seen).empty
    other = {**records, **dict([record("image", "x:1", "b" * 64)])}
    assert planned(SIMPLE, replace(seen, records=other)).changes[0].reasons == (
        "another image is stored under its name",
    )
    loose = planned(SIMPLE, replace(seen, images={"x:1": True})).changes[0]
    assert (loose.action, loose.reasons) == ("update", (LOOSE,))


def test_a_directory_with_other_owner_is_put_right() -> None:
    desired = {"a": [Directory(path="/var/lib/x", owner="etcd", group="etcd", mode=0o700)]}
    state = FileState(mode=0o755, owner="root", group="root", kind="directory", stat="-")
    plan = planned(desired, replace(bare(), files={"/var/lib/x": state}))
    assert plan.changes[0].reasons == ("mode 0755, desired 0700", "owner root:root, desired etcd:etcd")


def test_a_package_that_is_there_is_adopted_and_not_installed_again() -> None:
    """Its manager would bring a newer version of it, and of what it depends on."""
    desired = {"a": [Package(name="openssl", command="openssl")]}
    there = replace(bare(), facts=replace(FACTS, commands=frozenset({"openssl"})))
    assert [change.action for change in planned(desired, there).changes] == ["record"]
    assert [change.action for change in planned(desired, bare()).changes] == ["create"]


def test_the_probe_looks_for_the_program_of_every_package_that_a_role_wants() -> None:
    looked_for = re.search(r"for program in ([^;]+); do", program().decode())
    assert looked_for
    roles = [path.read_text() for path in sorted((Path(__file__).parents[3] / "roles").glob("*.py"))]
    desired = {name for text in roles for name in re.findall(r'Package\(name="[^"]+", command="([^"]+)"', text)}
    assert "haproxy" in desired
    assert desired <= set(looked_for[1].split())
