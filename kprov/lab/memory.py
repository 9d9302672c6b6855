"""What add-ons hold in memory on lab machines: their pods as kubelet tells it, their units as their control groups do.

Both are working sets: what is charged to them, without file pages that nobody asked for of late. A page that several
use is charged to the first of them, so that programs already in memory on the same computer may cost the next one nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from kprov.addon.spec import Addon
from kprov.lab import machines
from kprov.lab.layout import Lab

# What add-ons have on every host beside their pods.
UNITS: Mapping[str, tuple[str, ...]] = {
    "logging": ("kprov-journal.service", "kprov-logs.service"),
    "monitoring": ("kprov-metrics-proxy.service", "kprov-node-exporter.service"),
}
_SHARED = "kube-system"  # a namespace in which an add-on's pods are told by their names
_SCRIPT = r"""for unit; do
    group=$(systemctl show -p ControlGroup --value "$unit")
    folder=/sys/fs/cgroup/memory$group; used=memory.usage_in_bytes; idle=total_inactive_file
    [ -e "$folder/$used" ] || { folder=/sys/fs/cgroup$group; used=memory.current; idle=inactive_file; }
    awk -v used="$(cat "$folder/$used")" -v idle="$idle" '$1 == idle {print used - $2}' "$folder/memory.stat"
done"""


def working_sets(
    lab: Lab, addons: Sequence[Addon], nodes: Iterable[str], ask: Callable[[str], Any]
) -> dict[tuple[str, str], int]:
    """(machine, add-on) → bytes.

    ask: what the API server answers to a path, parsed. Raises LabError when a unit of an add-on that is on does not run.
    """
    found: dict[tuple[str, str], int] = {}

    def count(machine: str, addon: str, size: int) -> None:
        found[machine, addon] = found.get((machine, addon), 0) + size

    for node in nodes:
        for pod in ask(f"/api/v1/nodes/{node}/proxy/stats/summary")["pods"]:
            owner = _owner(pod["podRef"]["namespace"], pod["podRef"]["name"], addons)
            if owner:
                count(node, owner, int(pod.get("memory", {}).get("workingSetBytes", 0)))
    for machine in lab.machines:
        for addon in addons:
            for size in _of_units(lab, machine.name, UNITS.get(addon.name, ())):
                count(machine.name, addon.name, size)
    return found


def _owner(namespace: str, pod: str, addons: Sequence[Addon]) -> str:
    for addon in addons:
        if addon.namespace == namespace and (namespace != _SHARED or pod.startswith(f"{addon.name}-")):
            return addon.name
    return ""


def _of_units(lab: Lab, machine: str, units: Sequence[str]) -> list[int]:
    if not units:
        return []
    done = machines.run_in(lab.machine(machine), ["sh", "-ec", _SCRIPT, "sh", *units])
    return [int(line) for line in done.stdout.split()]
