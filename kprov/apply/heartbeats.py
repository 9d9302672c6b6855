"""Heartbeats of kubelets that were restarted: the cluster is asked for one newer than the start. Pure; it sends nothing.

A kubelet may answer on its own port and reach no API server. Its lease tells: kubelet renews it at its start and every
ten seconds. Both times are its node's, so that no clocks are compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from kprov.apply import wire
from kprov.apply.batch import Batch
from kprov.apply.operations import object_path
from kprov.values.components import KUBELET

_SECONDS = 60  # six renewals
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def heartbeats_batch(starts: Mapping[str, int], kubeconfig: bytes) -> Batch:
    """Asks, on a control plane, for a heartbeat of each node. `starts`: node → microseconds of the epoch."""
    batch = Batch()
    batch.attach_as("kubeconfig", kubeconfig)
    since = tuple(f"{name}={micro_time(starts[name])}" for name in sorted(starts))
    batch.add(f"heartbeats of {', '.join(sorted(starts))}", wire.Heartbeats(starts=since, seconds=_SECONDS))
    return batch


def silent(told: str, starts: Mapping[str, int]) -> list[str]:
    """Return the nodes whose heartbeat was awaited in vain. told: what the question told when it gave up."""
    named = {line.partition(":")[0] for line in told.splitlines()}
    return [name for name in sorted(starts) if name in named]


def return_batch() -> Batch:
    """Has a node take back what its kubelet was changed to, and asks when it started then."""
    batch = Batch()
    batch.add("what was there before the change", wire.GoBack())
    batch.add(f"unit {KUBELET.unit}: its start", wire.Started(service=object_path(KUBELET.unit)))
    return batch


def micro_time(microseconds: int) -> str:
    """Write a time as a Lease holds it (Kubernetes' MicroTime), so that the order of texts is the order of times."""
    return (_EPOCH + timedelta(microseconds=microseconds)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
