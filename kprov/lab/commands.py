"""Runs this host's programs for the lab and says what is missing; must not run anything a user typed."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from kprov.values.errors import LabError

# Program → package that has it, by Debian's names.
PROGRAMS: Mapping[str, str] = {
    "debootstrap": "debootstrap",
    "systemd-nspawn": "systemd-container",
    "nft": "nftables",
    "ip": "iproute2",
    "nsenter": "util-linux",
    "flock": "util-linux",
    "setsid": "util-linux",
    "mount": "mount",
    "umount": "mount",
    "chroot": "coreutils",
}
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


def missing_programs(present: Mapping[str, bool]) -> tuple[str, ...]:
    """Of PROGRAMS, those that `present` does not have."""
    return tuple(name for name in PROGRAMS if not present.get(name))


def require_host(system: str, euid: int, present: Mapping[str, bool]) -> None:
    """Raises LabError unless this is Linux, we are root, and every program a lab needs is there."""
    if system != "Linux":
        raise LabError(
            "lab machines need Linux", found=system, needed="Linux with systemd-nspawn", todo="use a Linux machine"
        )
    if euid != 0:
        raise LabError(
            "lab machines need root",
            found=f"user id {euid}",
            needed="root: they are containers with their own network and mounts",
            todo="run it again with sudo",
        )
    if missing := missing_programs(present):
        raise LabError(
            "programs that a lab needs are missing",
            found="no " + ", ".join(missing),
            todo=install_hint([PROGRAMS[name] for name in missing]),
        )


def check_host() -> None:
    """`require_host` for this host, now."""
    path = environment()["PATH"]
    present = {name: shutil.which(name, path=path) is not None for name in PROGRAMS}
    require_host(platform.system(), os.geteuid(), present)


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
