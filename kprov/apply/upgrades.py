"""What a control plane is asked to drain nodes and to let them serve again; which nodes is plan/upgrades.py's."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from kprov.apply.batch import Batch
from kprov.apply.conversing import Exchange, carried
from kprov.plan.node_conversations import drained, reopened
from kprov.plan.runtime_swap import Swap


def drain_work(names: Sequence[str], seconds: int, kubeconfig: bytes) -> Exchange[None]:
    """Cordons nodes, then drains them side by side. Disruption budgets are respected."""
    yield from carried(drained(names, seconds), Batch(), kubeconfig=kubeconfig)


def reopen_work(
    names: Sequence[str],
    version: str,
    swapped: Mapping[str, Swap],
    kubeconfig: bytes,
    *,
    networkless: Collection[str] = (),
) -> Exchange[None]:
    """Waits until nodes are Ready with the desired kubelet and, where it was swapped, runtime; then uncordons those kprov
    cordoned.

    networkless: nodes that were waiting for the user's own network before, and may go on doing so.
    """
    schemes = {name: f"{swap.coming.scheme}://" for name, swap in swapped.items()}
    talk = reopened(names, version, schemes, networkless)
    yield from carried(talk, Batch(), kubeconfig=kubeconfig)
