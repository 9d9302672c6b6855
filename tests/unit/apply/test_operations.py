"""What is sent to a host: operations in their order, announcements, and one tar stream."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from observed import bare, in_order, planned, record
from sent import members

from kprov.apply import scripts, wire
from kprov.apply.batch import Batch, stream
from kprov.apply.operations import Sources, removal_order, stage_batch, write_removal
from kprov.apply.wire_format import Operation
from kprov.observe.probe import program
from kprov.plan import delivery
from kprov.plan.desired import expand
from kprov.plan.host import Change, HostPlan, Restart
from kprov.values.certificate import CertificateSpec
from kprov.values.resources import (
    Artifact,
    Binary,
    Certificate,
    Directory,
    File,
    Gate,
    Image,
    KernelModule,
    Package,
    SwapOff,
    Sysctl,
    Unit,
    User,
)

UNIT_FILE = "/etc/systemd/system/x.service"
SPEC = CertificateSpec(name="x", authority="kubernetes", common_name="x")


@pytest.fixture
def artifact(tmp_path: Path) -> Artifact:
    path = tmp_path / "etcd.gz"
    path.write_bytes(b"compressed" * 1000)
    return Artifact(name="etcd", version="1", arch="amd64", sha256="a" * 64, size=3, local=str(path))


def sources(*, reachable: bool = False) -> Sources:
    return Sources(
        issue=lambda spec: (b"CERT " + spec.name.encode(), b"KEY"),
        packed=lambda artifact: (Path(artifact.local), "gzip"),
        download=lambda artifact: delivery.chosen(artifact, delivery.urls([artifact]) if reachable else ()),
    )


def everything(artifact: Artifact) -> dict[str, list[object]]:
    unit = Unit(
        name="x.service",
        content=b"[Service]\n",
        reads=frozenset({"/etc/x/conf"}),
        gates=(Gate(kind="http", argument="80 /ok", deadline=9),),
    )
    return {
        "one": [
            unit,
            File(path="/etc/x/conf", content=b"c", owner="x", group="x", mode=0o600, secret=True),
            Certificate(path="/etc/x/c.crt", key_path="/etc/x/c.key", spec=SPEC),
            Binary(path="/opt/kprov/bin/x", artifact=artifact),
            Image(reference="x:1", artifact=artifact),
            Directory(path="/var/lib/x", purge=True, mode=0o700),
            User(name="x"),
            Package(name="haproxy", command="haproxy", service="haproxy.service"),
            SwapOff(),
            KernelModule(name="overlay"),
            Sysctl(name="a.b", value="1"),
        ]
    }


def batch_of(desired: dict[str, list[object]], **options: bool) -> Batch:
    seen = bare(swap=True)
    seen = replace(seen, texts={})
    from pki_cases import NOW

    from kprov.plan.host import plan_host

    plan = plan_host("one", expand(desired), seen, authorities={"kubernetes": b""}, now=NOW)  # type: ignore[arg-type]
    return stage_batch(plan, "one", seen, sources(**options))


def words(batch: Batch) -> list[str]:
    return [operation.word for operation in batch.operations]


def test_what_must_exist_comes_before_what_needs_it(artifact: Artifact) -> None:
    order = list(dict.fromkeys(words(batch_of(everything(artifact)))))
    expected = ["unstamp", "package", "user", "swapoff", "module", "sysctl", "directory", "binary", "file"]
    assert order == [*expected, "reload_units", "restart", "steady", "gate", "stamp", "image"]


def test_units_are_enabled_before_systemd_reads_them_again(artifact: Artifact) -> None:
    """With systemd 257 the other order leaves every unit of the machine in need of a reload, and the next run restarts."""
    operations = batch_of(everything(artifact)).operations
    reload = next(operation for operation in operations if isinstance(operation, wire.ReloadUnits))
    assert list(reload.enable) == [operation.unit for operation in operations if isinstance(operation, wire.Restart)]


def test_a_unit_that_must_not_find_its_state_stands_still_while_that_goes(artifact: Artifact) -> None:
    unit = Unit(name="kubelet.service", content=b"")
    restart = Restart(
        stage="node", unit=unit, reason="x", running=True, clears=("/var/lib/kubelet/a", "/var/lib/kubelet/b")
    )
    other = Restart(stage="node", unit=Unit(name="y.service", content=b""), reason="x", running=True)
    plan = HostPlan(
        host="one",
        changes=(),
        restarts=(other, restart),
        stamps={"kubelet.service": "1", "y.service": "2"},
        unstamps={},
    )
    batch = stage_batch(plan, "node", bare(), sources())
    told = [one for one in batch.operations if isinstance(one, wire.Stop | wire.Remove | wire.Restart)]
    assert told == [
        wire.Restart(unit="y.service"),
        wire.Stop(unit="kubelet.service"),
        wire.Remove(kind="file", path="/var/lib/kubelet/a", before="absent"),
        wire.Remove(kind="file", path="/var/lib/kubelet/b", before="absent"),
        wire.Restart(unit="kubelet.service"),
    ]


def test_the_stamp_goes_before_any_input_changes_and_returns_after_the_gate(artifact: Artifact) -> None:
    names = words(batch_of(everything(artifact)))
    assert names.index("unstamp") == 0
    assert names.index("gate") < names.index("stamp")


def test_everything_is_announced_before_it_is_made(artifact: Artifact) -> None:
    announced = {(kind, name) for kind, name, _ in batch_of(everything(artifact)).announce}
    assert {("file", "/etc/x/c.key"), ("file", "/etc/x/c.crt"), ("binary", "/opt/kprov/bin/x")} <= announced
    assert {("user", "x"), ("package", "haproxy"), ("unit", "x.service"), ("image", "x:1")} <= announced
    assert ("directory", "/var/lib/x", "purge") in batch_of(everything(artifact)).announce


def test_a_foreign_unit_comes_back_when_the_one_that_had_its_name_is_cleaned_up(artifact: Artifact) -> None:
    records = dict([record("unit", "x.service", before="present enabled active"), record("file", UNIT_FILE)])
    changes = tuple(Change(stage="cleanup", key=key, action="delete", reasons=()) for key in records)
    plan = HostPlan(host="one", changes=changes, restarts=(), stamps={}, unstamps={})
    sent = words(stage_batch(plan, "cleanup", replace(bare(), records=records), sources()))
    assert sent[-2:] == ["reload_units", "give_back_unit"]


def test_a_key_is_never_readable_by_others(artifact: Artifact) -> None:
    files = [operation for operation in batch_of(everything(artifact)).operations if isinstance(operation, wire.File)]
    rows = {file.path: (file.owner, file.group, file.mode) for file in files}
    assert rows["/etc/x/c.key"] == ("root", "root", "0600")
    assert rows["/etc/x/c.crt"] == ("root", "root", "0644")
    assert rows["/etc/x/conf"] == ("x", "x", "0600")


def had(batch: Batch) -> tuple[str, str, str, str]:
    """How the one program of a batch gets to the host."""
    (one,) = (operation for operation in batch.operations if isinstance(operation, wire.Binary))
    return one.source, one.encoding, one.member, one.download_sha256


def test_a_host_that_reaches_the_source_downloads_and_another_is_sent_the_bytes(artifact: Artifact) -> None:
    url = replace(artifact, url="https://dl/x.tgz", url_sha256="b" * 64, member="bin/x")
    binary = {"one": [Binary(path="/opt/kprov/bin/x", artifact=url)]}
    assert had(batch_of(binary, reachable=True)) == ("https://dl/x.tgz", "archive", "bin/x", "b" * 64)
    assert had(batch_of(binary)) == ("0000/content", "gzip", "", "")
    plain = {"one": [Binary(path="/x", artifact=replace(artifact, url="https://dl/x"))]}
    assert had(batch_of(plain, reachable=True)) == ("https://dl/x", "raw", "", "a" * 64)


def test_permissions_and_records_send_no_content(artifact: Artifact) -> None:
    desired = everything(artifact)
    expanded = expand({"one": [item for item in desired["one"] if isinstance(item, File | Binary | Unit)]})  # type: ignore[misc]
    seen = in_order(expanded, planned(expanded, bare()))
    path = "/etc/x/conf"
    seen = replace(seen, files={**seen.files, path: replace(seen.files[path], mode=0o644)})
    records = {
        key: value
        for key, value in seen.records.items()
        if key[1] not in ("/opt/kprov/bin/x", "/etc/systemd/system/x.service")
    }
    seen = replace(seen, records=records)
    batch = stage_batch(planned(expanded, seen), "one", seen, sources())
    assert wire.Mode(path=path, owner="x", group="x", mode="0600") in batch.operations
    adopted = {(one.kind, one.name) for one in batch.operations if isinstance(one, wire.Adopt)}
    assert adopted == {("binary", "/opt/kprov/bin/x"), ("file", "/etc/systemd/system/x.service")}
    assert not batch.payload


@pytest.mark.parametrize(
    ("kind", "name", "value", "before", "operation"),
    [
        ("file", "/a", "h", "saved", wire.Remove(kind="file", path="/a", before="saved")),
        ("binary", "/a", "h", "absent", wire.Remove(kind="binary", path="/a", before="absent")),
        (
            "directory",
            "/d",
            "purge",
            "present 755 root root",
            wire.RemoveDirectory(path="/d", before="present 755 root root", content="purge"),
        ),
        ("package", "p", "p", "absent", wire.RemovePackage(name="p", before="absent", manager="apt")),
        ("swap", "off", "off", "/dev/sda2", wire.RemoveSwapoff(before="/dev/sda2")),
        ("unit", "u.service", "-", "absent", wire.RemoveUnit(unit="u.service")),
        ("image", "i:1", "h", "absent", wire.RemoveImage(name="i:1")),
        ("user", "u", "marked", "absent absent", wire.RemoveUser(name="u", before="absent absent", value="marked")),
        ("module", "m", "-", "absent", wire.RemoveModule(name="m", before="absent")),
        ("sysctl", "a.b", "1", "0", wire.RemoveSysctl(name="a.b", before="0")),
    ],
)
def test_removals_know_what_was_there_before(
    kind: str, name: str, value: str, before: str, operation: Operation
) -> None:
    seen = replace(bare(), records=dict([record(kind, name, value, before)]))
    batch = Batch()
    write_removal(batch, (kind, name), seen)
    assert batch.operations == [operation]


def test_values_that_would_break_the_table_are_refused() -> None:
    with pytest.raises(ValueError, match="line break"):
        Batch().add("x", wire.Unmount(path="/a\n/b"))
    with pytest.raises(ValueError, match="tab"):
        Batch().add("x", wire.Unmount(path="/a\t/b"))


@pytest.mark.parametrize("much", [False, True])
def test_the_stream_is_one_tar_with_program_operations_and_payload(artifact: Artifact, much: bool) -> None:
    batch = batch_of(everything(artifact))
    if much:
        batch.attach(b"large" * 100_000, "large")
    data = b"".join(stream(batch, "gen1"))
    assert data.startswith(b"plain\n" if much else b"packed\n")
    read = members(data)
    assert {"apply.sh", "ops", "announce", "generation"} <= read.keys()
    assert read["generation"] == b"gen1\n"
    rows = [line.split("\t") for line in read["ops"].decode().splitlines()]
    assert [int(row[0]) for row in rows] == list(range(1, len(rows) + 1))
    assert all(field for row in rows for field in row)  # the shell's read would swallow an empty field
    assert b"compressed" * 1000 in read.values()
    assert (b"large" * 100_000 in read.values()) == much


@pytest.mark.parametrize("name", ["apply.sh", "probe.sh", "down.sh"])
def test_a_shell_program_defines_each_function_once(name: str) -> None:
    """The last one counts, so that a change to another does nothing; shellcheck does not mind."""
    text = program() if name == "probe.sh" else scripts.text(name)
    found = re.findall(r"^([a-z_]+)\(\)", text.decode(), re.MULTILINE)
    assert found
    assert [function for function, times in Counter(found).items() if times > 1] == []


def test_a_deletion_is_written_by_its_record() -> None:
    seen = replace(bare(), records=dict([record("file", "/etc/old", "h", "absent")]))
    plan = planned({}, seen)
    assert isinstance(plan.changes[0], Change)
    assert stage_batch(plan, "cleanup", seen, sources()).operations == [
        wire.Remove(kind="file", path="/etc/old", before="absent")
    ]


def test_a_unit_goes_while_its_file_is_there_and_a_folder_when_it_is_empty() -> None:
    """Without its file systemd would not know what to run when the unit stops."""
    names = [
        ("directory", "/etc/x"),
        ("directory", "/etc/x/y"),
        ("file", "/etc/x/y/z.conf"),
        ("package", "haproxy"),
        ("user", "x"),
        ("file", "/etc/systemd/system/x.service"),
        ("unit", "x.service"),
        ("image", "i:1"),
    ]
    seen = replace(bare(), records=dict(record(kind, name, "-", "absent") for kind, name in names))
    found = [operation.word for operation in stage_batch(planned({}, seen), "cleanup", seen, sources()).operations]
    assert found == [
        *("remove_image", "remove_unit", "remove", "remove", "remove_package", "remove_user"),
        *("remove_directory", "remove_directory", "reload_units"),
    ]
    assert removal_order(names)[-2:] == [("directory", "/etc/x/y"), ("directory", "/etc/x")]


def test_every_part_of_the_program_is_sent_and_none_is_long_or_wide() -> None:
    parts = sorted((Path(scripts.__file__).parent / "apply").glob("*.sh"))
    joined = scripts.text("apply.sh")
    for part in parts:
        assert part.read_bytes() in joined, part
        assert len(part.read_text().splitlines()) <= 150, part
        assert max(map(len, part.read_text().splitlines())) <= 120, part
    assert len(joined.splitlines()) == sum(len(part.read_text().splitlines()) + 1 for part in parts) - 1
