"""When kubelet restarts on an emptied node, and when its managers of CPUs and memory begin again. Pure.

Kubelet refuses to start over a state file of another policy, or of other reserves. Source: Kubernetes, "Control CPU
Management Policies on the Node"; kubelet's cpumanager, memorymanager.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from kprov.observe.living import kubelet_settings, read_mapping
from kprov.observe.observation import Observation
from kprov.plan.desired import Desired
from kprov.plan.host import HostPlan
from kprov.plan.kubelet_room import less_room
from kprov.values.cpu_lists import cpus_in
from kprov.values.paths import CPU_STATE, KUBELET_CONFIG, MEMORY_STATE
from kprov.values.resources import File

_UNIT = "kubelet.service"
# What pods have of their node from the moment they are admitted on: no policy begins under them.
_EMPTIED_FOR = (
    *("topologyManagerPolicy", "topologyManagerPolicyOptions", "topologyManagerScope"),
    *("cgroupDriver", "cgroupRoot", "cgroupsPerQOS"),
)


@dataclass(frozen=True, kw_only=True)
class Manager:
    """policy: its field of KubeletConfiguration, with the value that counts when it is not there. fields: what its state
    depends on besides, under any policy but that one.
    """

    state: str
    policy: str
    default: str
    fields: tuple[str, ...]


_MANAGERS = (
    Manager(
        state=CPU_STATE,
        policy="cpuManagerPolicy",
        default="none",
        fields=("cpuManagerPolicyOptions", "reservedSystemCPUs", "kubeReserved", "systemReserved"),
    ),
    Manager(
        state=MEMORY_STATE,
        policy="memoryManagerPolicy",
        default="None",
        fields=("reservedMemory", "kubeReserved", "systemReserved", "evictionHard"),
    ),
)


def with_fresh_state(plan: HostPlan, desired: Desired, seen: Observation) -> HostPlan:
    """Return the plan with what kubelet's restart needs: state files that go, and whether pods leave before."""
    own = next((restart for restart in plan.restarts if restart.unit.name == _UNIT), None)
    if own is None:
        return plan
    after, before = _desired_settings(desired), kubelet_settings(seen)
    if after is None or before is None:
        return plan
    clears = {
        manager.state: why
        for manager in _MANAGERS
        if (why := _why_anew(manager, before, after, seen, runs=own.running))
    }
    less = less_room(before, after, seen.facts)
    emptied = bool(clears or less) or any(before.get(name) != after.get(name) for name in _EMPTIED_FOR)
    words = [
        own.reason,
        *(f"without {path}: {why}" for path, why in clears.items()),
        *([f"with {less}"] if less else []),
    ]
    changed = replace(own, clears=tuple(clears), emptied=emptied, crowded=bool(less), reason="; ".join(words))
    return replace(plan, restarts=tuple(changed if restart is own else restart for restart in plan.restarts))


def _desired_settings(desired: Desired) -> Mapping[str, Any] | None:
    files = (
        item.content
        for resources in desired.values()
        for item in resources
        if isinstance(item, File) and item.path == KUBELET_CONFIG
    )
    content = next(files, None)
    return read_mapping(content) if content is not None else None


def _why_anew(
    manager: Manager, before: Mapping[str, Any], after: Mapping[str, Any], seen: Observation, *, runs: bool
) -> str:
    """Why a manager's state would not be accepted; empty when it will, or when there is none.

    runs: whether kubelet does; one that runs has accepted the CPUs that there are.
    """
    state = read_mapping(seen.texts[manager.state]) if manager.state in seen.texts else None
    if state is None:
        return ""
    policy = str(after.get(manager.policy, manager.default))
    stored = str(state.get("policyName", policy))
    if stored != policy:
        return f"it is of {manager.policy} {stored}, and {policy} is next"
    if policy == manager.default:
        return ""
    changed = [name for name in manager.fields if before.get(name) != after.get(name)]
    if changed:
        return f"it is of another {', '.join(changed)}"
    if manager.state == CPU_STATE and not runs and (stored_cpus := len(_cpus(state))) != seen.facts.cpus:
        return f"it is of {stored_cpus} CPUs, and the host has {seen.facts.cpus}"
    return ""


def _cpus(state: Mapping[str, Any]) -> frozenset[int]:
    """The CPUs that a state knows: the shared ones, and those of containers."""
    entries = state.get("entries")
    containers = [row for row in entries.values() if isinstance(row, dict)] if isinstance(entries, dict) else []
    lists = (state.get("defaultCpuSet", ""), *(cpus for row in containers for cpus in row.values()))
    return frozenset().union(*(cpus_in(str(text)) for text in lists))
