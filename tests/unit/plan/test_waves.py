"""Which hosts go first in a stage, over plans that are made up at random: a mistake meets one host, and then more."""

from __future__ import annotations

import random

import pytest

from kprov.plan import rolls
from kprov.plan.host import Change, HostPlan, Restart
from kprov.plan.stage_names import BOTH_WAYS, OLD_KEY
from kprov.plan.stages import STAGES
from kprov.values.resources import File, Unit

UNITS = ("containerd.service", "docker.service", "kprov-network.service", "kubelet.service", "kube-proxy.service")


def plan(name: str, serving: set[str], starting: set[str] = frozenset(), others: int = 0) -> HostPlan:  # type: ignore[assignment]
    """A host whose units restart. others: units that are left alone."""
    restarts = tuple(
        Restart(stage="one", unit=Unit(name=unit, content=b""), reason="x", running=unit in serving)
        for unit in sorted(serving | starting)
    )
    file = File(path="/etc/x", content=b"")
    change = Change(stage="one", key=file.key, action="update", reasons=("x",), resource=file)
    stamps = {f"{number}.service": "s" for number in range(len(restarts) + others)}
    return HostPlan(host=name, changes=(change,), restarts=restarts, stamps=stamps, unstamps={})


def made_up(seed: int) -> dict[str, HostPlan]:
    chance = random.Random(seed)  # noqa: S311 (cases, not keys)
    return {
        f"h{number}": plan(
            f"h{number}",
            set(chance.sample(UNITS, chance.choice((0, 1, 1, 2, 3)))),
            set(chance.sample(UNITS, chance.choice((0, 1)))),
            chance.randrange(9),
        )
        for number in range(chance.choice((1, 2, 5, 12, 60)))
    }


def serving(host: HostPlan) -> set[str]:
    return {restart.unit.name for restart in host.restarts if restart.running}


@pytest.mark.parametrize("seed", range(60))
def test_no_unit_that_serves_restarts_on_several_hosts_before_it_did_on_one_alone(seed: int) -> None:
    plans = made_up(seed)
    batches = rolls.host_batches(rolls.Canary(), "one", plans)
    assert sorted(name for names in batches for name in names) == sorted(plans), "each host has its turn, once"
    known: set[str] = set()
    well = 0
    for names in batches:
        restarting = set().union(*(serving(plans[name]) for name in names))
        if len(names) > 1:
            assert restarting <= known
        if restarting:
            assert len(names) <= well + 1, "a wave is no larger than what went well before it, and one"
            well += len(names)
        known |= restarting


@pytest.mark.parametrize("count", [2, 5, 9, 100, 5000])
def test_waves_double_so_that_many_hosts_need_few(count: int) -> None:
    plans = {f"h{number}": plan(f"h{number}", {"kubelet.service"}) for number in range(count)}
    sizes = [len(names) for names in rolls.host_batches(rolls.Canary(), "one", plans)]
    assert sizes[0] == 1
    assert len(sizes) <= count.bit_length() + 1
    assert sizes[:-1] == [2**number for number in range(len(sizes) - 1)]


def test_the_host_that_has_least_to_lose_goes_first() -> None:
    plans = {
        "cp1": plan("cp1", {"containerd.service"}, others=8),
        "w1": plan("w1", {"containerd.service"}, others=2),
        "w2": plan("w2", {"containerd.service"}, others=2),
    }
    assert rolls.host_batches(rolls.Canary(), "one", plans) == [["w1"], ["w2", "cp1"]]


def test_hosts_of_another_runtime_have_one_of_their_own_that_goes_first() -> None:
    plans = {
        **{name: plan(name, {"containerd.service"}) for name in ("a", "b", "c")},
        **{name: plan(name, {"docker.service"}) for name in ("x", "y")},
    }
    assert rolls.host_batches(rolls.Canary(), "one", plans) == [["a"], ["x"], ["b", "c", "y"]]


def test_on_a_first_run_nobody_waits_for_anybody() -> None:
    plans = {name: plan(name, set(), {"containerd.service"}) for name in "abcde"}
    assert rolls.host_batches(rolls.Canary(), "one", plans) == [list("abcde")]


def test_everything_that_restarts_something_goes_to_one_host_first() -> None:
    """Where all hosts go at once nothing restarts, or each waits for all others."""
    at_once = {stage.name for stage in STAGES if stage.roll == rolls.Parallel() and stage.roles}
    assert at_once == set()
    assert {stage.name for stage in STAGES if stage.roll == rolls.Parallel()} == {BOTH_WAYS, OLD_KEY, "cleanup"}
