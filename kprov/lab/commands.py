"""Runs this host's programs for the lab and says what is missing; must not run anything a user typed."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from kprov.values.errors import LabError

# Program → package that has it, by Debian's names: for every lab, and for those with machines of a kind.
_ALWAYS: Mapping[str, str] = {
    "nft": "nftables",
    "ip": "iproute2",
    "nsenter": "util-linux",
    "flock": "util-linux",
    "setsid": "util-linux",
    "mount": "mount",
    "umount": "mount",
    "chroot": "coreutils",
}
_OF_KIND: Mapping[str, Mapping[str, str]] = {
    "container": {"debootstrap": "debootstrap", "systemd-nspawn": "systemd-container"},
    "vm": {
        "debootstrap": "debootstrap",
        "qemu-system-x86_64": "qemu-system-x86",
        "qemu-img": "qemu-utils",
        "mke2fs": "e2fsprogs",
        "ssh": "openssh-client",
    },
}
PROGRAMS: Mapping[str, str] = {**_ALWAYS, **_OF_KIND["container"], **_OF_KIND["vm"]}
_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_TAIL_LINES = 15


def environment() -> dict[str, str]:
    """The caller's environment with the system's program folders in PATH (sbin is often missing from it)."""
    return {**os.environ, "PATH": f"{os.environ.get('PATH', '')}:{_SYSTEM_PATH}".lstrip(":"), "LC_ALL": "C.UTF-8"}


def run(
    argv: Sequence[str],
    *,
    text: str | None = None,
    check: bool = True,
    timeout: float | None = None,
    inherited: Sequence[int] = (),
) -> subprocess.CompletedProcess[str]:
    """Run a program of this host with `text` on its standard input.

    Raises LabError with the end of its output when it fails (unless `check` is off), is missing or takes more than
    `timeout` seconds. `text` is never shown: it may hold a password. `inherited`: descriptors the program keeps.
    """
    try:
        done = subprocess.run(
            list(argv),
            input=text if text is not None else "",
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            env=environment(),
            check=False,
            pass_fds=inherited,
        )
    except FileNotFoundError as error:
        raise LabError(
            "a program is missing", found=f"no {argv[0]} on PATH", todo=install_hint([PROGRAMS.get(argv[0], argv[0])])
        ) from error
    except subprocess.TimeoutExpired as error:
        raise LabError(
            "a program of this host took too long", found=f"{' '.join(argv)} ran for {timeout:g} s", log=_tail(error)
        ) from None
    if check and done.returncode != 0:
        raise LabError(
            "a program of this host failed",
            found=f"{' '.join(argv)} returned {done.returncode}",
            log=tail(done.stderr or done.stdout),
        )
    return done


def tail(text: str, lines: int = _TAIL_LINES) -> str:
    return "\n".join(text.rstrip().splitlines()[-lines:])


def _tail(error: subprocess.TimeoutExpired) -> str:
    output = error.stderr or error.stdout or b""
    return tail(output.decode(errors="replace") if isinstance(output, bytes) else output)


def install_hint(packages: Sequence[str]) -> str:
    return "apt-get install " + " ".join(sorted(set(packages)))


def programs(kinds: Collection[str]) -> dict[str, str]:
    """Program → package, of what labs with machines of these kinds need."""
    return {**_ALWAYS} | {name: package for kind in sorted(kinds) for name, package in _OF_KIND[kind].items()}


def require_host(system: str, euid: int, present: Mapping[str, bool], kinds: Collection[str]) -> None:
    """Raises LabError unless this is Linux, we are root, and every program is there that machines of `kinds` need."""
    if system != "Linux":
        raise LabError(
            "lab machines need Linux", found=system, needed="Linux with systemd-nspawn", todo="use a Linux machine"
        )
    if euid != 0:
        raise LabError(
            "lab machines need root",
            found=f"user id {euid}",
            needed="root: they have networks and mounts of their own",
            todo="run it again with sudo",
        )
    needed = programs(kinds)
    if missing := [name for name in needed if not present.get(name)]:
        raise LabError(
            "programs that a lab needs are missing",
            found="no " + ", ".join(missing),
            todo=install_hint([needed[name] for name in missing]),
        )


def check_host(kinds: Collection[str]) -> None:
    """`require_host` for this host, now."""
    path = environment()["PATH"]
    present = {name: shutil.which(name, path=path) is not None for name in programs(kinds)}
    require_host(platform.system(), os.geteuid(), present, kinds)


def available_memory(meminfo: str) -> int:
    """MiB that programs may still take, by a /proc/meminfo text."""
    rows = dict(line.split(":", 1) for line in meminfo.splitlines())
    return int(rows["MemAvailable"].split()[0]) // 1024


def require_memory(needed: int) -> None:
    """Raises LabError when this computer has less than `needed` MiB of memory for virtual machines."""
    free = available_memory(Path("/proc/meminfo").read_text(encoding="ascii"))
    if free < needed:
        raise LabError(
            "too little memory for the virtual machines of a lab",
            found=f"{free} MiB available",
            needed=f"{needed} MiB",
            todo="give them less (--memory), or remove labs you no longer need (kprov lab list)",
        )


def require_space(folder: Path, needed: int) -> None:
    """Raises LabError when the file system of `folder` has less than `needed` bytes free."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise LabError(
            "too little disk space for a lab",
            where=str(folder),
            found=f"{free / 2**30:.1f} GiB free",
            needed=f"{needed / 2**30:.1f} GiB",
            todo="free some space, or remove labs you no longer need (kprov lab list)",
        )
