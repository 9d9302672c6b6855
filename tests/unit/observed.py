"""Observations for unit tests: a host as the probe would describe it, out of a few plain values."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pki_cases import NOW

from kprov.observe.observation import FileState, Observation, Record, UnitState
from kprov.plan.desired import Desired, expand
from kprov.plan.host import HostPlan, plan_host
from kprov.values.model import Facts
from kprov.values.paths import NETWORK_HOSTS
from kprov.values.resources import Binary, Directory, File, Key, Sysctl, Unit

FACTS = Facts(
    hostname="one",
    machine_id="1" * 32,
    arch="amd64",
    os_id="debian",
    os_version="12",
    kernel=(6, 1),
    kernel_release="6.1.0",
    systemd=252,
    cgroup=2,
    clock=0.0,
    clock_skew=0.0,
    cpus=4,
    memory=8 << 30,
    swap=False,
    interfaces=(),
    default_address="192.0.2.11",
    disk_free={},
    disk_size={},
    listeners=(),
    modules=frozenset(),
    loadable=frozenset(),
    commands=frozenset(),
    nft=(1, 0),
    package_manager="apt",
    selinux="",
    leftovers=(),
    is_root=True,
)


def bare(**facts: Any) -> Observation:
    """A host on which nothing is."""
    return Observation(facts=replace(FACTS, **facts))


def record(kind: str, name: str, value: str = "-", before: str = "absent") -> tuple[Key, Record]:
    return (kind, name), Record(kind=kind, name=name, value=value, stat="-", before=before)


def in_order(desired: Desired, plan: HostPlan) -> Observation:
    """The host after `plan` was carried out: everything desired is there, recorded, running and stamped."""
    files: dict[str, FileState] = {}
    records: dict[Key, Record] = {}
    units: dict[str, UnitState] = {}
    sysctls: dict[str, str] = {}
    texts: dict[str, bytes] = {}
    for resources in desired.values():
        for item in resources:
            if isinstance(item, File):
                files[item.path] = _regular(item.mode, item.sha256, item.owner, item.group)
                records.update([record("file", item.path, item.sha256)])
                texts |= (
                    {item.path: item.content} if item.path == NETWORK_HOSTS else {}
                )  # which decides what is desired
            elif isinstance(item, Binary):
                files[item.path] = _regular(item.mode, item.artifact.sha256)
                records.update([record("binary", item.path, item.artifact.sha256)])
            elif isinstance(item, Directory):
                files[item.path] = FileState(
                    mode=item.mode, owner=item.owner, group=item.group, kind="directory", stat="-"
                )
                records.update([record("directory", item.path)])
            elif isinstance(item, Unit):
                files[item.path] = _regular(0o600, File(path=item.path, content=item.content).sha256)
                records.update([record("file", item.path), record("unit", item.name)])
                units[item.name] = UnitState(active="active", enabled="enabled", needs_reload=False, loaded=True)
            elif isinstance(item, Sysctl):
                sysctls[item.name] = item.value
                records.update([record("sysctl", item.name, item.value)])
    return Observation(
        facts=FACTS,
        files=files,
        records=records,
        units=units,
        sysctls=sysctls,
        stamps=dict(plan.stamps),
        texts=texts,
    )


def _regular(mode: int, sha256: str, owner: str = "root", group: str = "root") -> FileState:
    return FileState(mode=mode, owner=owner, group=group, kind="regular file", stat="-", sha256=sha256)


def planned(desired: Desired, seen: Observation) -> HostPlan:
    return plan_host("one", expand(desired), seen, authorities={}, now=NOW)
