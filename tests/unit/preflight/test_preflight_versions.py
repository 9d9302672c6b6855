"""Which version may follow which: every rule with a cluster that keeps it and one that breaks it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
from observed import FACTS, record

from kprov.observe.observation import Observation
from kprov.preflight.problem import Problem
from kprov.preflight.versions import compare
from kprov.values.model import Cluster, Connection, Group, Host
from kprov.values.versions import numbers

GROUPS: dict[str, tuple[Group, ...]] = {
    "cp1": ("etcd", "control_plane"),
    "cp2": ("control_plane",),
    "w1": ("worker",),
    "w2": ("worker",),
}
TELLS = {"etcd": "etcd Version: {}", "kube-apiserver": "Kubernetes v{}", "kubelet": "Kubernetes v{}"}


def cluster(kubernetes: str, etcd: str = "3.7.3", groups: Mapping[str, tuple[Group, ...]] = GROUPS) -> Cluster:
    hosts = tuple(
        Host(name=name, groups=frozenset(members), connection=Connection(address=name))
        for name, members in groups.items()
    )
    return Cluster(name="prod", versions={"kubernetes": kubernetes, "etcd": etcd}, hosts=hosts)


def runs(**versions: str) -> Observation:
    """A host that runs these: etcd=, apiserver=, kubelet=; an empty version is one that the program does not tell."""
    told = {"kube-apiserver" if name == "apiserver" else name: version for name, version in versions.items()}
    return Observation(
        facts=FACTS,
        records=dict(record("unit", f"{name}.service") for name in told),
        versions={name: TELLS[name].format(version) for name, version in told.items()},
    )


def fleet(
    server: str = "1.36.3", kubelet: str = "1.36.3", etcd: str = "3.6.14", **others: Observation
) -> dict[str, Observation]:
    found = {
        "cp1": runs(etcd=etcd, apiserver=server, kubelet=kubelet),
        "cp2": runs(apiserver=server, kubelet=kubelet),
        "w1": runs(kubelet=kubelet),
        "w2": runs(kubelet=kubelet),
    }
    return {**found, **others}


def found(desired: Cluster, seen: Mapping[str, Observation], *limit: str) -> list[Problem]:
    return list(compare(desired, seen, frozenset(limit) if limit else None))


def names(problems: list[Problem]) -> dict[str, set[str]]:
    told: dict[str, set[str]] = {}
    for problem in problems:
        told.setdefault(problem.name, set()).add(problem.host)
    return told


def test_versions_are_read_out_of_what_programs_say() -> None:
    assert numbers("Kubernetes v1.36.3") == (1, 36, 3)
    assert numbers("etcd Version: 3.7.3") == (3, 7, 3)
    assert numbers("Kubernetes v1.36.3-rc.1+abc") == (1, 36, 3)
    assert numbers("some other program 1.2") is None
    assert numbers("") is None


@pytest.mark.parametrize("kubernetes", ["1.36.1", "1.36.3", "1.36.9", "1.37.2"])
def test_patches_either_way_and_the_next_minor_are_taken(kubernetes: str) -> None:
    etcd = "3.7.3" if kubernetes.startswith("1.37") else "3.6.14"
    assert found(cluster(kubernetes, etcd), fleet()) == []


def test_a_first_run_and_a_host_whose_programs_never_started_have_nothing_to_follow() -> None:
    bare = dict.fromkeys(GROUPS, Observation(facts=FACTS))
    assert found(cluster("1.35.4"), bare) == []
    cut_off = replace(runs(kubelet="1.37.2"), records=dict([record("binary", "/opt/kprov/bin/kubelet")]))
    assert found(cluster("1.35.4"), {**bare, "w1": cut_off}) == []


def test_a_downgrade_is_refused_on_every_host_with_what_runs_and_what_to_do() -> None:
    problems = found(cluster("1.35.4", "3.6.14"), fleet())
    assert names(problems) == {"VersionDowngrade": set(GROUPS)}
    text = str(next(problem for problem in problems if problem.host == "cp1"))
    assert "kube-apiserver 1.36.3 runs here" in text
    assert "1.36 or later; 1.35.4 is desired" in text
    assert 'kubernetes: "1.36"' in text
    assert "snapshot" in text


def test_an_etcd_downgrade_is_refused_with_its_own_way_back() -> None:
    problems = found(cluster("1.37.2", "3.6.14"), fleet("1.37.2", "1.37.2", "3.7.3"))
    assert names(problems) == {"VersionDowngrade": {"cp1"}}
    assert "etcdctl downgrade" in problems[0].todo
    assert 'etcd: "3.7.3"' in problems[0].todo


def test_a_skipped_minor_is_refused_for_the_control_plane_with_the_way_to_go() -> None:
    problems = found(cluster("1.37.2"), fleet("1.35.4", "1.35.4"))
    assert names(problems) == {"VersionSkip": {"cp1", "cp2"}}
    assert "1.36, then 1.37" in problems[0].todo
    assert "1.35 or 1.36" in problems[0].needed


def test_kubelets_may_leave_minors_out() -> None:
    assert found(cluster("1.37.2"), fleet("1.37.2", "1.37.2", "3.7.3", w1=runs(kubelet="1.34.9"))) == []


def test_another_major_is_too_far() -> None:
    assert "VersionSkip" in names(found(cluster("2.36.0", "3.6.14"), fleet()))


def test_api_servers_stay_within_one_minor_of_each_other() -> None:
    half_way = fleet(cp2=runs(apiserver="1.37.2", kubelet="1.36.3"))
    assert found(cluster("1.37.2"), half_way) == []
    problems = found(cluster("1.36.3", "3.6.14"), half_way)
    assert names(problems) == {"VersionDowngrade": {"cp1", "cp2"}}
    assert "runs on cp2" in next(problem for problem in problems if problem.host == "cp1").found
    assert names(found(cluster("1.38.0"), half_way, "cp2"))["VersionSkip"] == {"cp2"}


def test_a_new_control_plane_counts_too() -> None:
    groups = {**GROUPS, "cp3": ("control_plane",)}
    seen = {**fleet("1.37.2", "1.37.2", "3.7.3"), "cp3": Observation(facts=FACTS)}
    problems = found(cluster("1.36.3", "3.7.3", groups), seen, "cp3")
    assert names(problems) == {"VersionDowngrade": {"cp3"}}
    assert found(cluster("1.37.2", "3.7.3", groups), seen, "cp3") == []


def test_etcd_takes_a_step_only_from_a_release_that_allows_it() -> None:
    problems = found(cluster("1.37.2", "3.7.3"), fleet(etcd="3.6.10"))
    assert names(problems) == {"VersionSkip": {"cp1"}}
    assert "3.6.11 or a later 3.6" in problems[0].needed
    assert found(cluster("1.37.2", "3.7.3"), fleet(etcd="3.6.11")) == []


def test_limit_to_workers_may_not_pass_the_control_plane() -> None:
    problems = found(cluster("1.37.2"), fleet(), "w1", "w2")
    assert names(problems) == {"VersionSkew": {"w1", "w2"}}
    assert "1.36.3 on cp1, 1.36.3 on cp2" in problems[0].found
    assert "--limit cp1,cp2" in problems[0].todo
    assert found(cluster("1.37.2"), fleet("1.37.2", "1.36.3", "3.7.3"), "w1") == []


def test_limit_to_one_control_plane_may_not_pass_the_other() -> None:
    problems = found(cluster("1.37.2"), fleet(), "cp1")
    assert names(problems) == {"VersionSkew": {"cp1"}}
    assert "kube-apiserver 1.36.3 on cp2" in problems[0].found


def test_an_api_server_does_not_leave_old_kubelets_behind() -> None:
    seen = fleet(w1=runs(kubelet="1.33.9"))
    problems = found(cluster("1.37.2"), seen)
    assert names(problems) == {"VersionSkew": {"cp1", "cp2"}}
    assert "1.33.9 on w1" in problems[0].found
    assert 'kubernetes: "1.36"` for w1' in problems[0].todo
    assert found(cluster("1.37.2"), fleet(w1=runs(kubelet="1.34.9"))) == []


def test_an_old_kubelet_may_not_join_a_new_control_plane() -> None:
    seen = fleet("1.39.0", "1.39.0", "3.7.3", w1=Observation(facts=FACTS))
    problems = found(cluster("1.35.4", "3.7.3"), seen, "w1")
    assert names(problems) == {"VersionSkew": {"w1"}}
    assert "1.36 or later" in problems[0].needed


def test_an_unknown_version_is_told_and_not_refused() -> None:
    problems = found(cluster("1.37.2"), fleet(w1=runs(kubelet="")))
    assert names(problems) == {"VersionUnknown": {"w1"}}
    assert {problem.severity for problem in problems} == {"warning"}
    assert names(found(cluster("1.37.2"), fleet(cp2=runs(apiserver="", kubelet="1.36.3")), "w1"))["VersionUnknown"] == {
        "w1"
    }


def test_a_host_that_was_not_asked_matters_only_while_versions_move() -> None:
    seen = fleet("1.37.2", "1.37.2", "3.7.3")
    del seen["w2"]
    assert found(cluster("1.37.2"), seen, "cp1", "cp2", "w1") == []
    seen["w1"] = runs(kubelet="1.36.3")
    problems = found(cluster("1.37.2"), seen, "w1")
    assert [(problem.name, problem.severity) for problem in problems] == [("VersionUnknown", "warning")]
    assert "w2" in problems[0].what
