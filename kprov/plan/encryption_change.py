"""Changing what encrypts objects in etcd, on a living cluster, so that no API server ever meets what it cannot read. Pure.

First every API server learns to read with the new key and goes on writing with the old one; then all write with the new
one; then every object is written again; and only then the old key goes. A run that ends on the way leaves servers that
read both, and the next one goes on. What all objects are written by stands in the operator's folder.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from kprov.observe.living import read_mapping
from kprov.observe.observation import Observation
from kprov.plan.desired import Desired
from kprov.plan.host import Change, HostPlan
from kprov.plan.stage_names import API_SERVER, NEW_KEY, OLD_KEY
from kprov.roles import encryption
from kprov.roles.api_server import ENCRYPTION
from kprov.roles.documents import dump
from kprov.roles.layout import API_PORT
from kprov.values.addresses import hostport
from kprov.values.components import KUBE_APISERVER
from kprov.values.context import Trust
from kprov.values.model import Cluster, ClusterFacts
from kprov.values.resources import File

_KEY = ("file", ENCRYPTION)


@dataclass(frozen=True, kw_only=True, repr=False)
class EncryptionChange:
    """reads, writes: the files in which both keys are read and the old or the new one writes. resources: to be written
    again, as EncryptionConfiguration names them. settled: what they are all written by then, as JSON.
    """

    reads: File
    writes: File
    resources: tuple[str, ...]
    settled: str

    def __repr__(self) -> str:
        return f"EncryptionChange({', '.join(self.resources)})"


def settled(cluster: Cluster, trust: Trust) -> str:
    """The configuration that is desired, as the operator's folder keeps it: JSON, a secret."""
    return json.dumps(encryption.settled(cluster.api.encryption, trust.encryption_keys))


def is_known(document: str, trust: Trust) -> bool:
    """Whether the operator's folder says already that objects are written by this configuration."""
    return bool(json.loads(document) == encryption.written_by(trust))


def between(
    cluster: Cluster, trust: Trust, observations: Mapping[str, Observation], now: datetime
) -> EncryptionChange | None:
    """The change from what objects are written by to what is desired; None where no server lives, or all that changes is
    what is read besides: every object is written by what goes on writing.
    """
    living = any(_KEY in seen.records for seen in observations.values())
    old, new = encryption.written_by(trust), encryption.settled(cluster.api.encryption, trust.encryption_keys)
    if not living or encryption.same_writers(old, new):
        return None
    return EncryptionChange(
        reads=_file(encryption.beside(old, new, writes="old"), "the old one writes", now),
        writes=_file(encryption.beside(old, new, writes="new"), "the new one writes", now),
        resources=encryption.resource_names(new, old),
        settled=json.dumps(new),
    )


def has_unknown_keys(cluster: Cluster, trust: Trust, text: bytes) -> bool:
    """Whether the configuration that an API server has names a key that neither the folder nor the inventory knows.

    What cannot be read as one has none: it is replaced.
    """
    known = encryption.secrets_of(
        encryption.written_by(trust), encryption.settled(cluster.api.encryption, trust.encryption_keys)
    )
    return bool(encryption.secrets_of(read_mapping(text) or {}) - known)


def differing(desired: Mapping[str, Desired], observations: Mapping[str, Observation]) -> tuple[str, ...]:
    """Name the hosts whose configuration of encryption is kprov's and another than the desired one."""
    found = []
    for name, resources in desired.items():
        wanted = next((item for items in resources.values() for item in items if item.key == _KEY), None)
        there = observations[name].files.get(ENCRYPTION)
        recorded = _KEY in observations[name].records
        if isinstance(wanted, File) and there is not None and recorded and there.sha256 != wanted.sha256:
            found.append(name)
    return tuple(found)


def _file(document: encryption.Document, what: str, now: datetime) -> File:
    """With its time in it, so that a server always has something to read again, and tells that it did."""
    text = f"# Two configurations are read, and {what}: {now.isoformat()}\n".encode()
    owner = KUBE_APISERVER.name
    return File(path=ENCRYPTION, content=text + dump(document), owner=owner, group=owner, mode=0o600, secret=True)


def by_steps(plan: HostPlan, change: EncryptionChange) -> HostPlan:
    """A control plane's plan with its file in the three stages made for it; the rest of the plan stays."""
    final = next((item for item in plan.changes if item.key == _KEY and item.action in ("create", "update")), None)
    if final is None:
        return plan
    steps = (
        _with(final, API_SERVER, change.reads, "the new key is read beside the old one, which still writes"),
        _with(
            final, NEW_KEY, change.writes, "the new key writes; the old one is read until every object is written again"
        ),
        replace(final, stage=OLD_KEY, reasons=("every object is written by the new key", *final.reasons)),
    )
    return replace(plan, changes=(*(item for item in plan.changes if item is not final), *steps))


def _with(change: Change, stage: str, file: File, reason: str) -> Change:
    return replace(change, stage=stage, resource=file, reasons=(reason,))


def is_due(plans: Mapping[str, HostPlan]) -> bool:
    """Whether any server has another file than the desired one; else a run before has done it all."""
    return any(item.key == _KEY and item.stage == NEW_KEY for plan in plans.values() for item in plan.changes)


def limited(
    chosen: Mapping[str, HostPlan], all_plans: Mapping[str, HostPlan], change: EncryptionChange | None
) -> tuple[Mapping[str, HostPlan], EncryptionChange | None]:
    """The plans of some hosts: the new key may write only when every API server reads it, so that it waits for all."""
    left_out = {name: plan for name, plan in all_plans.items() if name not in chosen}
    if change is None or not is_due(left_out):
        return chosen, change
    later = (NEW_KEY, OLD_KEY)
    plans = {
        name: replace(plan, changes=tuple(item for item in plan.changes if item.stage not in later))
        for name, plan in chosen.items()
    }
    return plans, None


def learning(cluster: Cluster, facts: ClusterFacts, plans: Mapping[str, HostPlan]) -> tuple[str, ...]:
    """URLs of the API servers that read the new key by themselves: not those that restart after they got it."""
    return tuple(url for name, url in _urls(cluster, facts) if name in plans and not _restarts(plans[name]))


def servers(cluster: Cluster, facts: ClusterFacts, plans: Mapping[str, HostPlan]) -> tuple[str, ...]:
    """URLs of all API servers of a plan."""
    return tuple(url for name, url in _urls(cluster, facts) if name in plans)


def _urls(cluster: Cluster, facts: ClusterFacts) -> Iterator[tuple[str, str]]:
    for host in cluster.group("control_plane"):
        yield host.name, f"https://{hostport(facts.node_ip(host), API_PORT)}"


def _restarts(plan: HostPlan) -> bool:
    return any(item.unit.name == KUBE_APISERVER.unit for item in plan.restarts)
