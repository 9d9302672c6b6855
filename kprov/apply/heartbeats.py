"""Heartbeats of kubelets that were restarted: what is sent for them, and for nodes that take back their change without one.

Which heartbeats are asked for and awaited is decided in kprov/plan/heartbeat_conversations.py.
"""

from __future__ import annotations

from collections.abc import Mapping

from kprov.apply import wire
from kprov.apply.batch import Batch
from kprov.apply.conversing import Exchange, carried
from kprov.apply.operations import object_path
from kprov.plan.heartbeat_conversations import NoHeartbeatError, awaited
from kprov.values.components import KUBELET


def heartbeats_work(starts: Mapping[str, int], kubeconfig: bytes, lost: list[str]) -> Exchange[None]:
    """Ask, on a control plane, for a heartbeat of each node. starts: node → microseconds of the epoch.

    lost: gets the nodes whose heartbeat was awaited in vain.
    """
    try:
        yield from carried(awaited(starts), Batch(), kubeconfig=kubeconfig)
    except NoHeartbeatError as error:
        lost.extend(error.nodes)
        raise


def return_batch() -> Batch:
    """Has a node take back what its kubelet was changed to, and asks when it started then."""
    batch = Batch()
    batch.add("what was there before the change", wire.GoBack())
    batch.add(f"unit {KUBELET.unit}: its start", wire.Started(service=object_path(KUBELET.unit)))
    return batch
