"""How a stage goes over its hosts: one value for each way. Values and the batches that follow from plans alone; pure.

A row of `STAGES` names one of these. What is sent for it is in apply/rolls.py, which has a class for each.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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
    """Hosts that serve nothing yet at once, then one that serves, then the rest at once."""


@dataclass(frozen=True)
class Members:
    """Members of etcd: serial, with quorum and membership kept."""


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
class Ready:
    """Waits for nodes and deployments: once, on a control plane, when something changed or nodes are not Ready."""


HostRoll = Parallel | Serial | Canary
Roll = HostRoll | Members | Drained | OwnObjects | FirstAddons | Workloads | OtherAddons | Ready


def host_batches(roll: HostRoll | Members, stage: str, plans: Mapping[str, HostPlan]) -> list[list[str]]:
    """Return the hosts with work in a stage, in the batches that its roll asks for."""
    idle: list[str] = []
    serving: list[str] = []
    for name, plan in plans.items():
        changes, restarts = plan.stage(stage)
        if not changes and not restarts:
            continue
        (serving if any(restart.running for restart in restarts) else idle).append(name)
    match roll:
        case Parallel():
            return _filled([idle + serving])
        case Serial() | Members():
            return _filled([idle, *([name] for name in serving)])
        case Canary():
            return _filled([idle, serving[:1], serving[1:]] if serving else [idle])


def _filled(batches: Iterable[list[str]]) -> list[list[str]]:
    return [batch for batch in batches if batch]
