"""The root file system all machines of a release share, made once by debootstrap and never written to again.

Must leave nothing half made under its final name.
"""

from __future__ import annotations

import functools
import hashlib
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kprov.lab import apt, sources
from kprov.lab.commands import require_space, run
from kprov.lab.layout import CACHE, SUITES
from kprov.lab.locks import locked
from kprov.lab.mounts import remove_tree
from kprov.values.errors import LabError

PACKAGES = (
    *("systemd", "systemd-sysv", "dbus", "openssh-server", "sudo", "iproute2", "iputils-ping", "nftables", "iptables"),
    *("conntrack", "kmod", "procps", "ca-certificates", "socat", "ethtool", "curl", "python3"),
)
PREFETCHED = ("haproxy",)  # what kprov installs on hosts: kept as package files, so that it needs no network
SETUP = """\
set -eu
useradd --create-home --shell /bin/bash --groups sudo admin
useradd --create-home --shell /bin/bash deploy
printf 'deploy ALL=(ALL:ALL) NOPASSWD: ALL\\n' > /etc/sudoers.d/deploy
chmod 0440 /etc/sudoers.d/deploy
rm -f /etc/ssh/ssh_host_* /var/lib/dbus/machine-id
printf 'uninitialized\\n' > /etc/machine-id
systemctl enable systemd-networkd.service ssh.service kprov-lab-writable.service
# What the distribution does by the clock changes files in the middle of a test, and takes minutes of an emulated machine.
systemctl mask apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service \\
    fstrim.timer
"""
WRITABLE_UNIT = """\
[Unit]
Description=Sysctls and cgroups of this lab machine, writable
DefaultDependencies=no
Before=basic.target systemd-sysctl.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c 'for m in /proc/sys /sys/fs/cgroup /sys/fs/cgroup/*; do \
[ -L "$$m" ] || ! mountpoint -q "$$m" || mount -o remount,bind,rw "$$m" || exit 1; done'

[Install]
WantedBy=sysinit.target
"""
_NEEDED = 2 * 2**30
_TIMEOUT = 1800.0


def key(suite: str, architecture: str) -> str:
    """Name of a base: it changes with anything that goes into it."""
    parts = "\0".join((suite, architecture, *PACKAGES, *PREFETCHED, SETUP, WRITABLE_UNIT))
    return f"base-{suite}-{hashlib.sha256(parts.encode()).hexdigest()[:12]}"


def ensure(suite: str) -> Path:
    """The base of a release, made now if it is not there. Raises LabError."""
    if suite not in SUITES:
        raise LabError("unknown release for lab machines", found=repr(suite), needed=" or ".join(SUITES))
    name = key(suite, platform.machine())
    base = CACHE / name
    if base.is_dir():
        return base
    with cache_lock() as lock:
        if not base.is_dir():
            require_space(CACHE, _NEEDED)
            partial = CACHE / f".{name}.partial"
            remove_tree(partial)
            _build(partial, suite, lock)
            partial.rename(base)
    return base


@contextmanager
def cache_lock() -> Iterator[int]:
    CACHE.mkdir(mode=0o700, parents=True, exist_ok=True)
    with locked(CACHE, what="the base of the lab machines", timeout=_TIMEOUT) as lock:
        yield lock


def _build(root: Path, suite: str, lock: int) -> None:
    files = sources.files_for(suite)
    include = f"--include={','.join(PACKAGES)}"
    source = apt.mirror(files, suite)
    where = [source] if source else []
    # Programs keep the lock: if we are killed, the next run waits until they have ended before it clears up.
    do = functools.partial(run, timeout=_TIMEOUT, inherited=(lock,))
    do(["debootstrap", "--variant=minbase", include, suite, str(root), *where])
    (root / "etc/systemd/system/kprov-lab-writable.service").write_text(WRITABLE_UNIT, encoding="ascii")
    do(["chroot", str(root), "/bin/sh", "-s"], text=SETUP)
    sources.write(root, files)
    do(["chroot", str(root), "apt-get", "clean"])
    do(["chroot", str(root), "apt-get", "-q", "update"])
    do(["chroot", str(root), "apt-get", "-qy", "--download-only", "install", *PREFETCHED])
