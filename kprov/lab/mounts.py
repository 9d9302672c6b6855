"""Mounts of this host that belong to a lab: overlays up, everything below a folder down; knows no machine."""

from __future__ import annotations

import shutil
from pathlib import Path

from kprov.lab.commands import run
from kprov.values.errors import LabError


def mount_points(mountinfo: str) -> tuple[Path, ...]:
    """Mount points of a /proc/PID/mountinfo text, in mount order, with its octal escapes undone."""
    return tuple(
        Path(line.split()[4].encode().decode("unicode_escape").encode("latin-1").decode())
        for line in mountinfo.splitlines()
    )


def mounted_below(folder: Path) -> tuple[Path, ...]:
    """What is mounted on `folder` or inside it, the last mounted first."""
    points = mount_points(Path("/proc/self/mountinfo").read_text(encoding="utf-8"))
    return tuple(point for point in reversed(points) if point == folder or point.is_relative_to(folder))


def is_mounted(folder: Path) -> bool:
    return folder in mount_points(Path("/proc/self/mountinfo").read_text(encoding="utf-8"))


def mount_overlay(*, lower: Path, upper: Path, work: Path, target: Path) -> None:
    """Mount an overlay on `target` unless one is there. Raises LabError."""
    if is_mounted(target):
        return
    for folder in (upper, work, target):
        folder.mkdir(parents=True, exist_ok=True)
    upper.chmod(0o755)  # the root folder of the machine: services that are not root must pass it
    run(["mount", "-t", "overlay", "-o", f"lowerdir={lower},upperdir={upper},workdir={work}", "overlay", str(target)])


def remove_tree(folder: Path) -> None:
    """Unmount whatever is below `folder`, then delete it. A file, or nothing, is fine too.

    Raises LabError when something stays mounted: deleting through a mount would delete what is behind it.
    """
    for point in mounted_below(folder):
        run(["umount", str(point)])
    if left := mounted_below(folder):
        raise LabError("a mount could not be removed", where=str(left[0]), todo=f"umount {left[0]} and try again")
    if folder.is_dir():
        shutil.rmtree(folder)
    else:
        folder.unlink(missing_ok=True)
