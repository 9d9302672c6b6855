"""Kernel settings of the host that labs change: remembered with the first lab, put back with the last; nothing else.

The machines share the host's kernel, so what a kubelet sets (kernel.panic, vm.overcommit_memory …) is set for the host.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from kprov.lab.layout import LABS

_SYSCTL = Path("/proc/sys")
_RECORD = LABS / "host-settings.json"

FORWARDING = "net/ipv4/ip_forward"
INSTANCES = "fs/inotify/max_user_instances"
_INSTANCES_NEEDED = 8192  # all machines' root users share one limit; the kernel's 128 is gone after two or three

# Of the settings kubelet and kube-proxy write, those that no namespace holds.
TOUCHED = (
    FORWARDING,
    INSTANCES,
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
)


def desired(now: Mapping[str, str]) -> dict[str, str]:
    """The settings a lab needs that are not so yet."""
    changes = {}
    if now.get(FORWARDING) == "0":
        changes[FORWARDING] = "1"
    if INSTANCES in now and int(now[INSTANCES]) < _INSTANCES_NEEDED:
        changes[INSTANCES] = str(_INSTANCES_NEEDED)
    return changes


def to_restore(before: Mapping[str, str], now: Mapping[str, str]) -> dict[str, str]:
    """What differs now from what was remembered."""
    return {name: value for name, value in before.items() if name in now and now[name] != value}


def take() -> None:
    """Remember the host's settings unless an earlier lab did, then set what labs need."""
    now = _read()
    if not _RECORD.exists():
        _RECORD.with_suffix(".new").write_text(json.dumps(now), encoding="utf-8")
        _RECORD.with_suffix(".new").rename(_RECORD)
    _write(desired(now))


def give_back() -> None:
    """Put the remembered settings back and forget them; for the moment when no lab is left."""
    if _RECORD.exists():
        _write(to_restore(json.loads(_RECORD.read_text(encoding="utf-8")), _read()))
        _RECORD.unlink()
    _RECORD.with_suffix(".new").unlink(missing_ok=True)


def _read() -> dict[str, str]:
    files = {name: _SYSCTL / name for name in TOUCHED}
    return {name: file.read_text(encoding="ascii").strip() for name, file in files.items() if file.exists()}


def _write(changes: Mapping[str, str]) -> None:
    for name, value in changes.items():
        (_SYSCTL / name).write_text(value, encoding="ascii")
