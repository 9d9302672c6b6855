"""What a plan says it interrupts, and what of it cannot be taken back: by what is going to be done, and no more."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from kprov.objects.objects import Identity, ObjectChange
from kprov.observe.observation import EtcdMember
from kprov.plan import stage_names
from kprov.plan.cluster import ClusterPlan
from kprov.plan.encryption_change import EncryptionChange
from kprov.plan.etcd import Membership, Peer
from kprov.plan.host import Change, HostPlan, Restart
from kprov.plan.runtime_swap import Swap
from kprov.plan.upgrades import NodeUpgrades
from kprov.report.interruptions import interruption_lines, irrevocable, procedures
from kprov.report.plan_view import plan_lines, plan_values, summary_lines
from kprov.values.resources import File, Unit
from kprov.values.runtimes import RUNTIMES

SWAP = Swap(going=(RUNTIMES["containerd"],), coming=RUNTIMES["crio"])


def restart(unit: str, **more: Any) -> Restart:
    return Restart(stage="node", unit=Unit(name=unit, content=b""), reason="x", **{"running": True, **more})


def plan(hosts: dict[str, list[Restart]], **more: Any) -> ClusterPlan:
    plans = {
        name: HostPlan(host=name, changes=(), restarts=tuple(items), stamps={}, unstamps={})
        for name, items in hosts.items()
    }
    bare = {"membership": Membership(), "peers": (), "objects": (), "objects_known": True, "desired_objects": ()}
    return ClusterPlan(hosts=plans, **{**bare, "not_ready": (), "upgrades": NodeUpgrades(), **more})


def peers(number: int) -> tuple[Peer, ...]:
    return tuple(Peer(name=f"e{n}", peer_url="x", client_url="x") for n in range(number))


def test_a_plan_that_starts_and_restarts_nothing_that_serves_interrupts_nothing() -> None:
    first = plan({"cp1": [restart("etcd.service", running=False), restart("kubelet.service", running=False)]})
    assert interruption_lines(first) == []
    assert plan_values(first)["interrupts"] == []


def test_hosts_whose_unit_restarts_are_told_together_with_what_goes_on() -> None:
    lines = interruption_lines(plan({"w1": [restart("kubelet.service")], "w2": [restart("kubelet.service")], "w3": []}))
    assert lines[0] == "interrupts"
    assert lines[1].startswith("  w1, w2: kubelet.service restarts: containers go on; ")
    assert len(lines) == 2


def test_a_unit_that_restarts_in_several_stages_is_told_once() -> None:
    twice = plan({"w1": [restart("kprov-network.service"), replace(restart("kprov-network.service"), stage="routes")]})
    assert len(interruption_lines(twice)) == 2


@pytest.mark.parametrize(
    ("unit", "more", "told"),
    [
        ("kube-apiserver.service", {"servers": {"cp1": "u"}}, "the only one"),
        ("kube-apiserver.service", {"servers": dict.fromkeys(("cp1", "cp2", "cp3"), "u")}, "the others serve"),
        ("etcd.service", {"peers": peers(1)}, "no quorum without it"),
        ("etcd.service", {"peers": peers(2)}, "no quorum without it"),
        ("etcd.service", {"peers": peers(3)}, "the others keep the quorum"),
        ("somebodys-own.service", {}, "waits for some seconds"),
    ],
)
def test_what_serves_alone_is_told_as_such(unit: str, more: dict[str, Any], told: str) -> None:
    assert told in interruption_lines(plan({"cp1": [restart(unit)]}, **more))[1]


def test_nodes_are_told_by_whether_they_are_emptied() -> None:
    begun = [restart("kubelet.service", emptied=True)]
    drained = interruption_lines(plan({"w1": begun}, upgrades=NodeUpgrades(drain=("w1",))))
    assert "  w1: drained before they are changed: their pods start on other nodes" in drained[2]
    alone = interruption_lines(plan({"w1": begun}))
    assert "w1: not drained: pods keep what they were given" in alone[2]
    crowded = interruption_lines(plan({"w1": [restart("kubelet.service", emptied=True, crowded=True)]}))
    assert "w1: not drained, with less room for pods: kubelet ends the pods that do not fit" in crowded[2]
    assert len(crowded) == 3
    anew = interruption_lines(plan({"w1": [restart("kubelet.service", emptied=True, crowded=True, clears=("/x",))]}))
    assert len(anew) == 4
    swapped = interruption_lines(plan({"w1": []}, upgrades=NodeUpgrades(swaps={"w1": SWAP})))
    assert "w1: not drained: their pods end" in swapped[1]


def deletion(kind: str) -> ObjectChange:
    key: Identity = ("", kind, "", "x")
    return ObjectChange(identity=key, action="delete", reason="gone")


def test_what_no_run_takes_back_is_told() -> None:
    member = EtcdMember(id="1f", name="e3", peer_urls=(), learner=False)
    final = plan(
        {},
        membership=Membership(remove=(member,)),
        objects=(deletion("Node"), deletion("ConfigMap"), deletion("PersistentVolumeClaim")),
        leaving_data=("/var/lib/x",),
        steps=("Kubernetes 1.36 → 1.37",),
        upgrades=NodeUpgrades(drain=("w1",), swaps={"w1": SWAP}),
    )
    told = list(irrevocable(final))
    assert [line.split(" ")[0] for line in told] == [
        *("Kubernetes", "member", "Node", "PersistentVolumeClaim", "folders", "images"),
    ]
    assert "cannot be undone" in interruption_lines(final)
    assert plan_values(final)["irrevocable"] == told


def test_what_goes_in_steps_is_told_in_their_order() -> None:
    file = File(path="/x", content=b"")
    change = Change(stage=stage_names.ROUTES, key=file.key, action="update", reasons=("x",), resource=file)
    network = replace(plan({"w1": []}).hosts["w1"], changes=(change,))
    member = EtcdMember(id="1f", name="e3", peer_urls=(), learner=False)
    secret = EncryptionChange(reads=file, writes=file, resources=("secrets", "configmaps"), settled="{}")
    stepwise = plan({}, membership=Membership(join=("e4",), remove=(member,)), encryption=secret)
    told = list(procedures(replace(stepwise, hosts={"w1": network})))
    assert [line.split(" ")[0] for line in told] == ["etcd:", "etcd:", "pod", "encryption:"]
    assert "e4 joins as a learner" in told[0]
    assert "every object of secrets, configmaps is written again; then the old key goes" in told[3]
    assert plan_values(stepwise)["procedures"] == told[:2] + told[3:]
    assert interruption_lines(stepwise)[0] == "goes in steps; a run that breaks off is gone on with"
    assert list(procedures(plan({"w1": [restart("kubelet.service")]}))) == []


def test_plan_and_what_up_shows_before_it_asks_say_it() -> None:
    shown = plan({"w1": [restart("kubelet.service")]})
    for lines in (plan_lines(shown), summary_lines(shown)):
        assert "interrupts" in lines
