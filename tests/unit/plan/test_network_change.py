"""A pod network that changes node by node: what each step is, what waits for it, how an unfinished one goes on."""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[2] / "roles"))
from given import context

from kprov.observe.observation import Observation
from kprov.plan.desired import expand
from kprov.plan.host import HostPlan, plan_host
from kprov.plan.network_change import NetworkChange, between, by_both_ways
from kprov.plan.rolls import host_batches
from kprov.plan.stages import STAGES
from kprov.roles import network
from kprov.values.context import Context
from kprov.values.model import Interface, NetworkSettings
from kprov.values.paths import NETWORK_MODE
from kprov.values.resources import File

NOW = datetime(2026, 6, 1, tzinfo=UTC)
NODES = {"w1": {"groups": ["worker"]}, "w2": {"groups": ["worker"]}}
TUNNEL = NetworkSettings(mode="vxlan", vni=7, port=4790)
COMES, GOES = NetworkChange(tunnel=TUNNEL, comes=True), NetworkChange(tunnel=TUNNEL, comes=False)
_NODE = "pods 10.244.0.0/16\nown 10.244.0.0/24\nnat nftables\n"
_END = "vxlan 7 4790 192.0.2.1 02:6b:0a:f4:00:00 1450 10.244.0.1\n"
_STRAIGHT, _INTO_IT = "route 10.244.1.0/24 192.0.2.2\n", "route 10.244.1.0/24 10.244.1.1\n"
_PEER = "peer 10.244.1.1 02:6b:0a:f4:01:00 192.0.2.2\n"
ROUTES_ONLY = f"{_NODE}{_STRAIGHT}"
BESIDE = f"{_NODE}{_END}both\n{_STRAIGHT}route 10.244.1.1 10.244.1.1\n{_PEER}"
TURNED = f"{_NODE}{_END}both\n{_INTO_IT}{_PEER}"
THROUGH = f"{_NODE}{_END}{_INTO_IT}{_PEER}"


def given(mode: str, host: str = "w1", **facts: object) -> Context:
    settings = {"mode": "vxlan", "vni": 7, "port": 4790} if mode == "vxlan" else {"mode": mode}
    settings["hosts"] = "open"  # what is closed to pods stays so
    hosts = {name: {**values, "facts": facts if name == host else {}} for name, values in NODES.items()}
    return context({"cluster": {"network": settings}, "hosts": hosts, "host": host})


def planned(ctx: Context) -> HostPlan:
    """What a node's network is changed by, of which nothing is there yet."""
    desired = expand({"runtime": list(network.resources(ctx))})
    return plan_host(ctx.host.name, desired, Observation(facts=ctx.own), authorities={}, now=NOW)


def settings_by_stage(plan: HostPlan) -> dict[str, str]:
    return contents_by_stage(plan, network.SETTINGS)


def contents_by_stage(plan: HostPlan, path: str) -> dict[str, str]:
    return {
        change.stage: change.resource.content.decode()
        for change in plan.changes
        if change.key == ("file", path) and isinstance(change.resource, File)
    }


def test_routes_and_one_tunnel_change_into_each_other_by_both_ways() -> None:
    routed, other = NetworkSettings(), "vxlan 7 4790"
    assert between(TUNNEL, ["routed", "routed"]) == COMES
    assert between(routed, [other]) == GOES
    assert between(TUNNEL, []) is None
    assert between(TUNNEL, ["vxlan 8 4790"]) is None
    assert between(TUNNEL, ["routed", "vxlan 8 4790"]) is None
    assert between(routed, ["none"]) is None
    assert between(routed, ["vxlan seven 4790"]) is None
    assert between(NetworkSettings(mode="none"), ["routed"]) is None
    # A run that died half way, and the user who wants the old one again.
    assert between(TUNNEL, ["routed", f"routed, {other}"]) == between(TUNNEL, [f"routed, {other}"]) == COMES
    assert between(routed, ["routed", f"routed, {other}"]) == between(routed, [f"routed, {other}"]) == GOES


def test_a_tunnel_comes_beside_the_routes_and_is_turned_to_then() -> None:
    plan = by_both_ways(planned(given("vxlan")), COMES, given("vxlan"))
    assert settings_by_stage(plan) == {"both-ways": BESIDE, "routes": TURNED, "one-way": THROUGH}


def test_a_tunnel_goes_when_nobody_turns_to_it_any_more() -> None:
    plan = by_both_ways(planned(given("routed")), GOES, given("routed"))
    assert settings_by_stage(plan) == {"both-ways": TURNED, "routes": BESIDE, "one-way": ROUTES_ONLY}


def test_a_tunnel_that_goes_keeps_its_mtu() -> None:
    device = Interface(name="kprov-vxlan", mtu=1300, addresses=("10.244.0.1/32",))
    link = Interface(name="eth0", mtu=1500, addresses=("192.0.2.1/24",))
    own = given("routed", interfaces=(link, device))
    plan = by_both_ways(planned(own), GOES, own)
    assert " 1300 10.244.0.1\n" in settings_by_stage(plan)["routes"]


@pytest.mark.parametrize(("mode", "change"), [("vxlan", COMES), ("routed", GOES)])
def test_a_node_has_both_networks_on_record_until_the_last_step(mode: str, change: NetworkChange) -> None:
    plan = by_both_ways(planned(given(mode)), change, given(mode))
    assert contents_by_stage(plan, NETWORK_MODE) == {
        "both-ways": "routed, vxlan 7 4790\n",
        "one-way": "vxlan 7 4790\n" if change.comes else "routed\n",
    }
    stages = {item.key[1]: item.stage for item in plan.changes}
    assert stages[network.SCRIPT] == stages[network.CONFLIST] == "runtime"


def test_the_program_is_started_anew_with_each_step_and_asked() -> None:
    """The first node turns when every one has reached the others through the tunnel, and not before."""
    plan = by_both_ways(planned(given("vxlan")), COMES, given("vxlan"))
    gates = {restart.stage: [gate.argument for gate in restart.unit.gates] for restart in plan.restarts}
    check = f"{network.SCRIPT} check"
    reach = f"{network.SCRIPT} reach 10.244.1.1"
    assert gates == {"both-ways": [check, reach], "routes": [check], "one-way": [check]}
    plan = by_both_ways(planned(given("routed")), GOES, given("routed"))
    gates = {restart.stage: [gate.argument for gate in restart.unit.gates] for restart in plan.restarts}
    assert gates == {"both-ways": [check], "routes": [check], "one-way": [check]}


def test_nodes_come_to_both_ways_together_and_turn_one_by_one() -> None:
    plans = {name: by_both_ways(planned(given("vxlan", name)), COMES, given("vxlan", name)) for name in NODES}
    serving = {
        name: replace(plan, restarts=tuple(replace(restart, running=True) for restart in plan.restarts))
        for name, plan in plans.items()
    }
    stages = {stage.name: stage for stage in STAGES}
    assert host_batches(stages["both-ways"].roll, "both-ways", serving) == [["w1", "w2"]]
    assert host_batches(stages["routes"].roll, "routes", serving) == [["w1"], ["w2"]]
    assert host_batches(stages["one-way"].roll, "one-way", serving) == [["w1"], ["w2"]]
    names = [stage.name for stage in STAGES]
    assert names.index("runtime") < names.index("both-ways") < names.index("routes") < names.index("one-way")


def test_a_node_that_is_done_in_a_run_that_died_stays_as_it_is() -> None:
    plan = planned(given("vxlan"))
    done = replace(plan, changes=tuple(item for item in plan.changes if item.key != ("file", network.SETTINGS)))
    assert by_both_ways(done, COMES, given("vxlan")) == done


def test_a_node_alone_asks_nobody() -> None:
    own = replace(given("vxlan"), pod_cidrs={"w1": given("vxlan").pod_cidrs["w1"]})
    plan = by_both_ways(planned(own), COMES, own)
    assert [len(restart.unit.gates) for restart in plan.restarts] == [1, 1, 1]
