"""How a stage goes over its hosts: one value for each way. Values and the batches that follow from plans alone; pure.

A row of `STAGES` names one of these. What is sent for it is in apply/rolls.py, which has a class for each.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from kprov.plan.host import HostPlan


@dataclass(frozen=True)
class Parallel:
    """All hosts with work at once."""


@dataclass(frozen=True)
class Serial:
    """Hosts that serve now one by one; the others before them at once: starting something takes nothing away."""


@dataclass(frozen=True)
class Canary:
    """Hosts that serve nothing yet at once; then one that serves, alone; then the rest in waves, each no larger than what
    has gone well before it, and one.
    """


@dataclass(frozen=True)
class Members:
    """Members of etcd: serial, with quorum and membership kept."""


@dataclass(frozen=True)
class ApiServers:
    """Serial, and one that serves is stopped only while another one is ready."""


@dataclass(frozen=True)
class Drained:
    """Nodes whose kubelet gets another minor version or whose runtime is replaced, each drained first.

    What they want of the stages `runtime` and `node` waits for it (plan/upgrades.py).
    """


@dataclass(frozen=True)
class OwnObjects:
    """kprov's own objects that make no pods, and every deletion: once, on a control plane."""


@dataclass(frozen=True)
class FirstAddons:
    """A cloud's controller and an add-on that is the pod network: once, on a control plane, before nodes can be Ready."""


@dataclass(frozen=True)
class Workloads:
    """kprov's own objects that make pods: once, on a control plane, when nodes are Ready, so that pods are spread."""


@dataclass(frozen=True)
class OtherAddons:
    """All other add-ons: once, on a control plane; one that fails stops no other."""


@dataclass(frozen=True)
class Learned:
    """API servers with work at once, when every one has read the encryption configuration that it got before."""


@dataclass(frozen=True)
class Rewritten:
    """Every encrypted object is written again: once, by a control plane, when all API servers write with the new key."""


@dataclass(frozen=True)
class Ready:
    """Waits for nodes and deployments: once, on a control plane, when something changed or nodes are not Ready."""


HostRoll = Parallel | Serial | Canary | Learned
Roll = (
    HostRoll | Members | ApiServers | Drained | OwnObjects | FirstAddons | Workloads | OtherAddons | Rewritten | Ready
)


def host_batches(roll: HostRoll | Members | ApiServers, stage: str, plans: Mapping[str, HostPlan]) -> list[list[str]]:
    """Return the hosts with work in a stage, in the batches that its roll asks for."""
    idle: list[str] = []
    serving: dict[str, frozenset[str]] = {}  # host → its units that serve and restart
    for name, plan in plans.items():
        changes, restarts = plan.stage(stage)
        if not changes and not restarts:
            continue
        if units := frozenset(restart.unit.name for restart in restarts if restart.running):
            serving[name] = units
        else:
            idle.append(name)
    match roll:
        case Parallel() | Learned():
            return _filled([idle + list(serving)])
        case Serial() | Members() | ApiServers():
            return _filled([idle, *([name] for name in serving)])
        case Canary():
            smallest = sorted(serving, key=lambda name: len(plans[name].stamps))
            return _filled([idle, *_waves({name: serving[name] for name in smallest})])


def _waves(serving: Mapping[str, frozenset[str]]) -> Iterator[list[str]]:
    """Yield one host alone for all that restarts, then the others in waves that double.

    serving: host → its units that restart, the host with the fewest units first: it takes least with it. Where hosts have
    different units, as with different runtimes, each unit restarts on one host alone before it does on several.
    """
    known: set[str] = set()
    first: list[str] = []
    for name, units in serving.items():
        if not units <= known:
            first.append(name)
            known |= units
    yield from ([name] for name in first)
    rest = [name for name in serving if name not in first]
    well = len(first)
    while rest:
        yield rest[: well + 1]
        rest, well = rest[well + 1 :], well + len(rest[: well + 1])


def _filled(batches: Iterable[list[str]]) -> list[list[str]]:
    return [batch for batch in batches if batch]
