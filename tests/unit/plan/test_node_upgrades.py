"""Which nodes are drained, what of their plan waits until they are empty, and how an unfinished run is taken up."""

from __future__ import annotations

from dataclasses import replace

import pytest
from observed import FACTS

from kprov.observe.observation import Observation
from kprov.plan.host import Change, HostPlan, Restart
from kprov.plan.upgrades import CORDONED, NodeUpgrades, decide, deferred
from kprov.values.model import Cluster, Connection, Group, Host, UpgradeSettings
from kprov.values.resources import Artifact, Binary, File, Image, Unit

GROUPS: dict[str, tuple[Group, ...]] = {"cp1": ("control_plane",), "w1": ("worker",), "w2": ("worker",)}
CONTAINERD = Unit(
    name="containerd.service",
    content=b"",
    reads=frozenset({"/opt/kprov/bin/containerd", "/etc/containerd/config.toml"}),
)


def cluster(groups: dict[str, tuple[Group, ...]] = GROUPS, **upgrade: int) -> Cluster:
    hosts = tuple(Host(name=n, groups=frozenset(g), connection=Connection(address=n)) for n, g in groups.items())
    settings = UpgradeSettings(**upgrade)  # type: ignore[arg-type]
    return Cluster(name="c", versions={"kubernetes": "1.37.2"}, hosts=hosts, upgrade=settings)


def binary(name: str, stage: str) -> Change:
    artifact = Artifact(name=name, version="1", arch="amd64", sha256="0" * 64, size=1, local="")
    resource = Binary(path=f"/opt/kprov/bin/{name}", artifact=artifact)
    return Change(stage=stage, key=resource.key, action="update", reasons=("another version",), resource=resource)


def file(path: str, stage: str) -> Change:
    resource = File(path=path, content=b"")
    return Change(stage=stage, key=resource.key, action="update", reasons=("other content",), resource=resource)


def restart(unit: Unit | str, stage: str, *, running: bool = True) -> Restart:
    unit = Unit(name=unit, content=b"") if isinstance(unit, str) else unit
    return Restart(stage=stage, unit=unit, reason="it reads …, which changes", running=running)


def plan(*items: Change | Restart) -> HostPlan:
    return HostPlan(
        host="w1",
        changes=tuple(item for item in items if isinstance(item, Change)),
        restarts=tuple(item for item in items if isinstance(item, Restart)),
        stamps={},
        unstamps={},
    )


IDLE = plan()
NEW_KUBELET = plan(binary("kubelet", "node"), restart("kubelet.service", "node"), restart("kube-proxy.service", "node"))
NEW_RUNTIME = plan(
    binary("containerd", "runtime"),
    binary("containerd-shim-runc-v2", "runtime"),
    file("/etc/containerd/config.toml", "runtime"),
    file("/etc/kprov/network", "runtime"),
    restart(CONTAINERD, "runtime"),
    restart("kprov-network.service", "runtime"),
)


def runs(version: str) -> Observation:
    return Observation(facts=FACTS, versions={"kubelet": version})


def drained(own: HostPlan, seen: Observation, *, cut_off: bool = False, of: Cluster | None = None) -> bool:
    annotations = {CORDONED: "upgrade"} if cut_off else {}
    live = [{"kind": "Node", "metadata": {"name": "w1", "annotations": annotations}}]
    return decide(of or cluster(), {"w1": own}, {"w1": seen}, live).drain == ("w1",)


def test_a_kubelet_that_must_begin_anew_drains_its_node_while_it_runs() -> None:
    begun = replace(restart("kubelet.service", "node"), emptied=True)
    assert drained(plan(begun), runs("1.37.2"))
    assert not drained(plan(replace(begun, running=False)), runs("1.37.2"))  # nobody would end its pods


def test_another_minor_of_kubelet_and_another_containerd_drain_a_node() -> None:
    assert drained(NEW_KUBELET, runs("Kubernetes v1.36.3"))
    assert drained(NEW_RUNTIME, runs("1.37.2"))


@pytest.mark.parametrize(
    ("own", "seen"),
    [
        (NEW_KUBELET, runs("1.37.1")),
        (plan(restart("kubelet.service", "node")), runs("1.37.2")),
        (plan(file("/etc/containerd/config.toml", "runtime"), restart(CONTAINERD, "runtime")), runs("1.37.2")),
        (plan(restart("kubelet.service", "node", running=False)), runs("1.36.3")),
        (IDLE, runs("1.36.3")),
    ],
    ids=["patch", "settings", "runtime settings", "not running", "nothing to do"],
)
def test_what_leaves_pods_alone_drains_nothing(own: HostPlan, seen: Observation) -> None:
    assert not drained(own, seen)


def test_a_kubelet_of_unknown_version_is_drained_when_it_is_replaced() -> None:
    assert drained(NEW_KUBELET, runs(""))
    assert not drained(plan(restart("kubelet.service", "node")), runs(""))


def test_a_node_that_an_earlier_run_cordoned_is_drained_for_what_is_left_to_do() -> None:
    left = plan(restart(CONTAINERD, "runtime"))
    assert not drained(left, runs("1.37.2"))
    assert drained(left, runs("1.37.2"), cut_off=True)


def test_draining_can_be_switched_off_and_needs_a_second_node() -> None:
    seen = runs("1.36.3")
    assert not drained(NEW_KUBELET, seen, of=cluster(drain=False))
    assert not drained(NEW_KUBELET, seen, of=cluster({"w1": ("control_plane", "worker")}))


def test_only_nodes_that_kprov_marked_are_opened_again() -> None:
    live = [
        {"kind": "Node", "metadata": {"name": "w1", "annotations": {CORDONED: "upgrade"}}},
        {"kind": "Node", "metadata": {"name": "w2"}, "spec": {"unschedulable": True}},
    ]
    plans, seen = {"w1": IDLE, "w2": IDLE}, {"w1": runs("1.37.2"), "w2": runs("1.37.2")}
    decided = decide(cluster(drain=False), plans, seen, live)
    assert decided == NodeUpgrades(drain=(), reopen=("w1",))
    assert decided.rounds(1) == [["w1"]]
    assert decided.of({"w2"}) == NodeUpgrades()


def test_one_node_goes_alone_and_the_others_as_many_at_once_as_may_be() -> None:
    upgrades = NodeUpgrades(drain=("a", "b", "c", "d"), reopen=("b", "x"))
    assert upgrades.rounds(1) == [["x"], ["a"], ["b"], ["c"], ["d"]]
    assert upgrades.rounds(2) == [["x"], ["a"], ["b", "c"], ["d"]]
    assert NodeUpgrades().rounds(3) == []


def test_what_disturbs_pods_waits_and_the_rest_does_not() -> None:
    drain = NodeUpgrades(drain=("w1",))
    moved = deferred(replace(NEW_RUNTIME, changes=(*NEW_RUNTIME.changes, *NEW_KUBELET.changes)), drain)
    assert {change.key[1]: change.stage for change in moved.changes} == {
        "/opt/kprov/bin/containerd": "upgrade",
        "/opt/kprov/bin/containerd-shim-runc-v2": "upgrade",
        "/etc/containerd/config.toml": "upgrade",
        "/etc/kprov/network": "runtime",
        "/opt/kprov/bin/kubelet": "upgrade",
    }
    assert {item.unit.name: item.stage for item in moved.restarts} == {
        "containerd.service": "upgrade",
        "kprov-network.service": "runtime",
    }
    alone = deferred(plan(binary("runc", "runtime"), *NEW_KUBELET.changes, *NEW_KUBELET.restarts), drain)
    assert [change.stage for change in alone.changes] == ["runtime", "upgrade"]
    assert {item.stage for item in alone.restarts} == {"upgrade"}
    assert deferred(NEW_RUNTIME, NodeUpgrades(drain=("w2",))) is NEW_RUNTIME


@pytest.mark.parametrize(("running", "stage"), [(True, "runtime"), (False, "upgrade")])
def test_an_image_waits_for_a_store_that_does_not_run_yet(running: bool, stage: str) -> None:
    artifact = Artifact(name="image-pause", version="1", arch="amd64", sha256="0" * 64, size=1, local="")
    image = Image(reference="pause:1", artifact=artifact, store="/run/docker.sock")
    change = Change(stage="runtime", key=image.key, action="create", reasons=("it is not there",), resource=image)
    own = plan(binary("dockerd", "runtime"), change, restart("dockerd.service", "runtime", running=running))
    moved = deferred(own, NodeUpgrades(drain=("w1",)))
    assert moved.changes[-1].stage == stage
