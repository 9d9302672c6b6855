"""How versions of running programs are learned: by hash without asking, else by one question, and never from a guess."""

from __future__ import annotations

import gzip
from dataclasses import replace
from pathlib import Path

import pytest
from observed import FACTS, record

from kprov.artifacts.cache import MODULES, Cache, Record
from kprov.observe.gather import Fleet
from kprov.observe.observation import FileState, Observation
from kprov.run.running_versions import by_hash, cached, identified, unknown
from kprov.transport.base import Result
from kprov.transport.fake import FakeTransport
from kprov.values.model import Connection, Host

HASH = "a" * 64
KNOWN = {HASH: "1.36.3"}


def settled(sha256: str = HASH) -> Observation:
    """A host whose kubelet was seen healthy with the file of that hash."""
    state = FileState(mode=0o755, owner="root", group="root", kind="regular file", stat="-", sha256=sha256)
    return Observation(
        facts=FACTS,
        records=dict([record("unit", "kubelet.service")]),
        files={"/opt/kprov/bin/kubelet": state},
        stamps={"kubelet.service": "s"},
    )


def test_a_program_of_the_cache_is_known_by_its_hash() -> None:
    seen = settled()
    assert by_hash(seen, KNOWN) == {"kubelet": "1.36.3"}
    assert unknown(seen, by_hash(seen, KNOWN)) == ()


@pytest.mark.parametrize(
    "seen",
    [settled("b" * 64), replace(settled(), stamps={}), replace(settled(), files={})],
    ids=["hash", "stamp", "file"],
)
def test_what_may_run_another_program_than_its_file_is_asked(seen: Observation) -> None:
    assert by_hash(seen, KNOWN) == {}
    assert unknown(seen, {}) == ("kubelet",)


def test_what_never_ran_is_not_asked() -> None:
    assert unknown(replace(settled(), records={}), {}) == ()


def test_the_cache_tells_the_versions_of_the_programs_that_decide(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    hashes = {}
    for name, version in (("kubelet", "1.36.3"), ("kubelet", "1.37.2"), ("etcd", "3.6.14"), ("etcdctl", "3.6.14")):
        made = tmp_path / "made"
        made.write_text(f"{name} {version}")
        row = Record(name=name, version=version, arch="amd64", source=MODULES, file=name, sha256="", size=0, mtime_ns=0)
        folder = cache.folder(MODULES, name, version, "amd64", "k")
        hashes[name, version] = cache.store(folder, made, row).sha256
    assert cached(tmp_path) == {
        hashes["kubelet", "1.36.3"]: "1.36.3",
        hashes["kubelet", "1.37.2"]: "1.37.2",
        hashes["etcd", "3.6.14"]: "3.6.14",
    }


def answering(text: str) -> FakeTransport:
    def answer(_: Host, __: str, stdin: bytes) -> Result:
        assert b"program\tkubelet" in gzip.decompress(stdin)
        said = f"kprov-probe begin\nfact\thostname\tw1\nversion\tkubelet\t{text}\nkprov-probe end\n"
        return Result(status=0, stdout=said.encode(), stderr=b"")

    return FakeTransport(handler=answer)


def fleet(fake: FakeTransport, seen: Observation) -> Fleet:
    host = Host(name="w1", groups=frozenset({"worker"}), connection=Connection(address="w1"))
    return Fleet(sessions={"w1": fake.connect(host)}, observations={"w1": seen})


def test_a_known_program_costs_no_exec() -> None:
    fake = answering("never asked")
    told = identified(fleet(fake, settled()), KNOWN, forks=1)
    assert told.observations["w1"].versions == {"kubelet": "1.36.3"}
    assert fake.counters["w1"].execs == 0


def test_an_unknown_program_is_asked_once_and_the_first_answer_is_kept() -> None:
    fake = answering("Kubernetes v1.36.9")
    seen = replace(settled("b" * 64), objects=({"kind": "Node"},))
    told = identified(fleet(fake, seen), KNOWN, forks=1).observations["w1"]
    assert told.versions == {"kubelet": "Kubernetes v1.36.9"}
    assert told.objects == seen.objects
    assert fake.counters["w1"].execs == 1
