"""Control groups of lab machines, v1 (a hierarchy per controller) and v2: make, fill, sweep, remove.

Touches only groups that carry a lab machine's identity.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kprov.values.errors import LabError

_MOUNT = Path("/sys/fs/cgroup")
_POLL = 0.02
_DELEGATED = ("cpu", "cpuset", "io", "memory", "pids", "hugetlb")


@dataclass(frozen=True, kw_only=True)
class Hierarchies:
    """The hierarchies of a host: one folder for each v1 controller (and v2 beside them), or the v2 one alone."""

    folders: tuple[Path, ...]
    version: int  # 1 or 2

    def groups(self, identity: str) -> tuple[Path, ...]:
        return tuple(folder / identity for folder in self.folders)


def hierarchies(mountinfo: str) -> Hierarchies:
    """Read them from a /proc/PID/mountinfo text. Raises LabError when there are none below /sys/fs/cgroup."""
    found: dict[Path, str] = {}
    for line in mountinfo.splitlines():
        left, _, right = line.partition(" - ")
        point, kind = Path(left.split()[4]), right.split()[0]
        if kind in ("cgroup", "cgroup2") and point.is_relative_to(_MOUNT):
            found[point] = kind
    if not found:
        raise LabError("no cgroups are mounted", where=str(_MOUNT), needed="cgroup v1 or v2, as systemd mounts them")
    return Hierarchies(folders=tuple(found), version=1 if "cgroup" in found.values() else 2)


def observe() -> Hierarchies:
    return hierarchies(Path("/proc/self/mountinfo").read_text(encoding="utf-8"))


def make(identity: str) -> tuple[Path, ...]:
    """Make the groups of a machine in every hierarchy; idempotent. Returns them."""
    seen = observe()
    if seen.version == 2:
        _delegate(seen.folders[0])
    groups = seen.groups(identity)
    for group in groups:
        group.mkdir(exist_ok=True)
        if (group / "cpuset.cpus").exists() and seen.version == 1:
            _copy_cpuset(group)
    return groups


def _copy_cpuset(group: Path) -> None:
    # A v1 cpuset starts empty and takes no process until it has processors and memory nodes.
    for name in ("cpuset.cpus", "cpuset.mems"):
        (group / name).write_text((group.parent / name).read_text(encoding="ascii"), encoding="ascii")
    (group / "cgroup.clone_children").write_text("1", encoding="ascii")


def _delegate(root: Path) -> None:
    available = (root / "cgroup.controllers").read_text(encoding="ascii").split()
    enabled = (root / "cgroup.subtree_control").read_text(encoding="ascii").split()
    for controller in _DELEGATED:
        if controller in available and controller not in enabled:
            (root / "cgroup.subtree_control").write_text(f"+{controller}", encoding="ascii")


def processes(groups: Sequence[Path]) -> frozenset[int]:
    """Ids of all processes in these groups and the groups inside them."""
    found: set[int] = set()
    for group in groups:
        for folder, _, _ in os.walk(group):
            try:
                text = (Path(folder) / "cgroup.procs").read_text(encoding="ascii")
            except OSError:  # gone in between, or a v2 threaded group, whose processes its parent lists
                continue
            found.update(int(line) for line in text.split())
    return frozenset(found - {0})


def sweep(identity: str, *, timeout: float = 15) -> None:
    """Kill every process of a machine's groups, wait until they are gone, and remove the groups.

    Membership in a group of that name is what makes a process the machine's. Raises LabError after `timeout` seconds.
    """
    groups = tuple(group for group in observe().groups(identity) if group.exists())
    deadline = time.monotonic() + timeout
    while True:
        thaw(groups)
        for pid in processes(groups):
            _kill_member(pid, groups)
        if not processes(groups) and all(_remove(group) for group in groups):
            return
        if time.monotonic() > deadline:
            raise LabError(
                "cgroups could not be removed",
                where=identity,
                found=f"processes {sorted(processes(groups))} after {timeout:g} s",
                todo="look at what these processes wait for, then remove the lab again",
            )
        time.sleep(_POLL)


def thaw(groups: Sequence[Path]) -> None:
    """Lets frozen processes go on, so that they can die: runc freezes a container's while it gives it its devices."""
    for group in groups:
        for folder, _, _ in os.walk(group):
            for name, thawed in (("freezer.state", "THAWED"), ("cgroup.freeze", "0")):
                file = Path(folder) / name
                if file.exists():
                    with contextlib.suppress(OSError):  # gone in between
                        file.write_text(thawed, encoding="ascii")


def _kill_member(pid: int, groups: Sequence[Path]) -> None:
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        # The handle pins the process: only now is it certain that the one we signal is the one we saw.
        if pid in processes(groups):
            signal.pidfd_send_signal(handle, signal.SIGKILL)
    except ProcessLookupError:
        return
    finally:
        os.close(handle)


def _remove(group: Path) -> bool:
    for folder, _, _ in os.walk(group, topdown=False):
        try:
            os.rmdir(folder)  # noqa: PTH106 - walk gives text, and a group is only ever removed by rmdir
        except FileNotFoundError:
            continue
        except OSError:
            return False
    return True
