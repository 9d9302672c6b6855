"""What stands in the places that kprov takes and is not kprov's: each kind of it refuses a run, and nothing else does."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from observed import bare, record
from pki_cases import cluster, host

from kprov.observe.observation import FileState, Observation, UnitState
from kprov.plan.desired import expand
from kprov.preflight import places
from kprov.preflight.problem import Problem
from kprov.values.model import Cluster
from kprov.values.resources import Artifact, Binary, Directory, File, Resource, Unit

DATA = Directory(path="/var/lib/containerd", mode=0o700, purge=True)
KEPT = Directory(path="/etc/cni/net.d")
CONFIG = File(path="/etc/containerd/config.toml", content=b"")
UNIT = Unit(name="containerd.service", content=b"")
PROGRAM = Binary(
    path="/opt/kprov/bin/runc",
    artifact=Artifact(name="runc", version="1", arch="amd64", sha256="0" * 64, size=1, local=""),
)
EVERYTHING: tuple[Resource, ...] = (DATA, KEPT, CONFIG, UNIT, PROGRAM)


def found(seen: Observation, *resources: Resource, of: Cluster | None = None, **limits: Any) -> tuple[Problem, ...]:
    desired = {"cp1": expand({"runtime": resources or EVERYTHING})}
    return places.check(of or cluster(host("cp1")), desired, {"cp1": seen}, **limits)


def the_only(problems: tuple[Problem, ...], name: str) -> Problem:
    assert [problem.name for problem in problems] == [name]
    return problems[0]


def state(kind: str) -> FileState:
    return FileState(mode=0o755, owner="root", group="root", kind=kind, stat="-")


def unit(fragment: str = "/usr/lib/systemd/system/containerd.service", **changes: Any) -> Observation:
    there = UnitState(active="active", enabled="enabled", needs_reload=False, loaded=True, fragment=fragment)
    return replace(bare(), units={UNIT.name: replace(there, **changes)})


def recorded(seen: Observation, *keys: tuple[str, str]) -> Observation:
    return replace(seen, records=dict(record(*key) for key in keys))


def test_an_empty_host_has_all_places_free() -> None:
    assert found(bare()) == ()


@pytest.mark.parametrize("fragment", ["/usr/lib/systemd/system/containerd.service", ""])
@pytest.mark.parametrize("active", ["active", "inactive"])
def test_a_foreign_unit_of_the_same_name_is_refused_with_what_it_is(fragment: str, active: str) -> None:
    problem = the_only(found(unit(fragment, active=active)), "ForeignUnit")
    assert problem.found == f"{fragment or UNIT.path}, {active}, enabled"
    assert f"dpkg -S or rpm -qf {fragment or UNIT.path}" in problem.todo
    assert "another runtime" in problem.todo
    assert problem.severity == "error"


def test_a_unit_that_is_no_runtimes_has_no_other_runtime_as_a_remedy() -> None:
    etcd = replace(UNIT, name="etcd.service")
    seen = replace(bare(), units={"etcd.service": unit().units[UNIT.name]})
    assert "runtime" not in the_only(found(seen, etcd), "ForeignUnit").todo


@pytest.mark.parametrize("key", [UNIT.key, ("file", UNIT.path)])
def test_a_recorded_unit_is_kprovs(key: tuple[str, str]) -> None:
    assert found(recorded(unit(""), key)) == ()


def test_a_unit_that_is_masked_or_nowhere_has_no_name_to_lose() -> None:
    assert found(unit(loaded=False)) == ()


def test_a_unit_of_a_role_that_the_host_does_not_get_is_left_alone() -> None:
    assert found(unit(), DATA, CONFIG) == ()


def test_data_that_was_there_before_is_refused_where_down_would_remove_it() -> None:
    seen = replace(bare(), holding=frozenset({DATA.path, "/var/lib/other"}))
    problem = the_only(found(seen), "LeftOver")
    assert DATA.path in problem.found
    assert f"mv {DATA.path} {DATA.path}.old" in problem.todo
    assert "another runtime" in problem.todo
    etcd = replace(bare(), holding=frozenset({"/var/lib/etcd"}))
    todo = the_only(found(etcd, Directory(path="/var/lib/etcd", purge=True)), "LeftOver").todo
    assert "runtime" not in todo
    assert found(recorded(seen, DATA.key)) == (), "what is in a recorded folder is the cluster's"


def test_networks_of_podman_are_no_leftover() -> None:
    assert found(replace(bare(), holding=frozenset({"/var/lib/cni"})), Directory(path="/var/lib/cni", purge=True)) == ()


@pytest.mark.parametrize("folder", [DATA, KEPT, Directory(path="/etc/cni")])
def test_a_symbolic_link_is_refused_with_the_bind_mount_to_write(folder: Directory) -> None:
    seen = replace(
        bare(), files={folder.path: state("symbolic link")}, links={folder.path: "/data/there", CONFIG.path: "/data/c"}
    )
    problem = the_only(found(seen), "SymbolicLink")
    assert problem.found == f"{folder.path} leads to /data/there"
    assert f"echo '/data/there {folder.path} none bind 0 0' >> /etc/fstab && mount {folder.path}" in problem.todo
    assert "stop the units" not in problem.todo
    assert "stop the units" in the_only(found(recorded(seen, folder.key)), "SymbolicLink").todo


@pytest.mark.parametrize("kind", ["regular file", "regular empty file", "socket"])
def test_a_file_in_the_place_of_a_folder_is_refused(kind: str) -> None:
    problem = the_only(found(replace(bare(), files={KEPT.path: state(kind)})), "InTheWay")
    assert problem.found == f"a {kind}: {KEPT.path}"


@pytest.mark.parametrize("path", [CONFIG.path, UNIT.path, PROGRAM.path])
def test_a_folder_in_the_place_of_a_file_is_refused(path: str) -> None:
    assert "a file" in the_only(found(replace(bare(), files={path: state("directory")})), "InTheWay").needed


def test_files_and_folders_that_are_what_they_should_be_are_no_problem() -> None:
    files = {path: state("regular file") for path in (CONFIG.path, UNIT.path, PROGRAM.path)}
    assert found(replace(bare(), files={**files, DATA.path: state("directory"), KEPT.path: state("directory")})) == ()


def test_what_the_inventory_ignores_is_a_warning_and_hosts_left_out_are_not_judged() -> None:
    lenient = replace(cluster(host("cp1")), preflight_ignore=("foreignunit",))
    assert the_only(found(unit(), of=lenient), "ForeignUnit").severity == "warning"
    assert found(unit(), limit=frozenset({"w1"})) == ()
    assert found(unit(), limit=frozenset({"cp1"}))
