"""What add-ons hold in memory on lab machines: their pods as kubelet tells it, their units as the kernel does of processes.

Of pods it is the working set: what is charged to them, without file pages that nobody asked for of late. Of units it is
what their processes hold for themselves, as a lab machine need not have memory cgroups for units: without pages
of files, their programs' among them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from kprov.lab import machines
from kprov.lab.layout import Lab
from kprov.values.addon import Addon
from kprov.values.components import COMPONENTS

_SHARED = "kube-system"  # a namespace in which an add-on's pods are told by their names
_SCRIPT = r"""for unit; do
    group=$(systemctl show -p ControlGroup --value "$unit"); [ -n "$group" ] || { echo "$unit does not run" >&2; exit 1; }
    for root in /sys/fs/cgroup/systemd /sys/fs/cgroup/unified /sys/fs/cgroup; do
        if [ -e "$root$group/cgroup.procs" ]; then cat "$root$group/cgroup.procs"; break; fi
    done | sed 's,.*,/proc/&/status,' | xargs cat 2> /dev/null |
        awk '/^Rss(Anon|Shmem):/ {held += $2} END {print held * 1024}'
done"""


def held(
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
            for size in _of_units(lab, machine.name, units(addon.name)):
                count(machine.name, addon.name, size)
    return found


def units(addon: str) -> tuple[str, ...]:
    """What an add-on has on every host beside its pods."""
    return tuple(component.unit for component in COMPONENTS if component.addon == addon)


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
