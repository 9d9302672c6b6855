"""The root file system all machines of a release share, made once by debootstrap and never written to again.

Must leave nothing half made under its final name.
"""

from __future__ import annotations

import functools
import hashlib
import os
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from kprov.errors import LabError
from kprov.lab import apt
from kprov.lab.commands import require_space, run
from kprov.lab.layout import CACHE, SUITES
from kprov.lab.locks import locked
from kprov.lab.mounts import remove_tree

PACKAGES = (
    *("systemd", "systemd-sysv", "dbus", "openssh-server", "sudo", "iproute2", "iputils-ping", "nftables", "iptables"),
    *("conntrack", "kmod", "procps", "ca-certificates", "socat", "ethtool", "curl"),
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
"""
WRITABLE_UNIT = """\
[Unit]
Description=Sysctls and control groups of this lab machine, writable
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
    sources = sources_for(suite)
    include = f"--include={','.join(PACKAGES)}"
    source = apt.mirror(sources, suite)
    where = [source] if source else []
    # Programs keep the lock: if we are killed, the next run waits until they have ended before it clears up.
    do = functools.partial(run, timeout=_TIMEOUT, inherited=(lock,))
    do(["debootstrap", "--variant=minbase", include, suite, str(root), *where])
    (root / "etc/systemd/system/kprov-lab-writable.service").write_text(WRITABLE_UNIT, encoding="ascii")
    do(["chroot", str(root), "/bin/sh", "-s"], text=SETUP)
    write_sources(root, sources)
    do(["chroot", str(root), "apt-get", "clean"])
    do(["chroot", str(root), "apt-get", "-q", "update"])
    do(["chroot", str(root), "apt-get", "-qy", "--download-only", "install", *PREFETCHED])


def write_sources(root: Path, sources: Mapping[str, str]) -> None:
    """Let the machine with this root reach packages as the host does: sources, settings, name servers, certificates."""
    if sources:
        (root / "etc/apt/sources.list").unlink(missing_ok=True)
        for name, text in sources.items():
            (root / "etc/apt/sources.list.d" / name).write_text(text, encoding="utf-8")
    dump = run(["apt-config", "dump"], check=False).stdout if Path("/usr/bin/apt-config").exists() else ""
    (root / "etc/apt/apt.conf.d/90kprov-lab").write_text(apt.kept_settings(dump), encoding="utf-8")
    texts = [_read(Path(name)) for name in ("/etc/resolv.conf", "/run/systemd/resolve/resolv.conf")]
    (root / "etc/resolv.conf").unlink(missing_ok=True)
    (root / "etc/resolv.conf").write_text(apt.nameservers(texts), encoding="utf-8")
    _write_certificates(root)


def _write_certificates(root: Path) -> None:
    bundle = root / "etc/ssl/certs/ca-certificates.crt"
    known = _read(bundle)
    for certificate in sorted(Path("/usr/local/share/ca-certificates").glob("**/*.crt")):
        text = certificate.read_text(encoding="ascii", errors="replace")
        (root / "usr/local/share/ca-certificates" / certificate.name).write_text(text, encoding="ascii")
        if text.strip() not in known:
            known = f"{known.rstrip()}\n{text.strip()}\n"
    bundle.write_text(known, encoding="ascii")


def sources_for(suite: str) -> dict[str, str]:
    """This host's Debian sources told for `suite`, file name → text; empty when the host is no Debian."""
    release = platform.freedesktop_os_release()
    if release.get("ID") != "debian":
        return {}
    own = release.get("VERSION_CODENAME", "")
    folder = Path("/etc/apt/sources.list.d")
    files = [*sorted(folder.glob("*.sources")), *sorted(folder.glob("*.list"))] if folder.is_dir() else []
    texts = {file.name: _read(file) for file in files if os.access(file, os.R_OK)}
    texts["sources.list"] = _read(Path("/etc/apt/sources.list"))
    # Third parties' repositories on the host, with keys we do not copy, are not the guests' business.
    ours = {name: text for name, text in texts.items() if apt.mirror({name: text}, own)}
    if "sources.list" in ours:
        ours["debian.list"] = ours.pop("sources.list")
    return apt.translated(ours, own, suite)


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""
