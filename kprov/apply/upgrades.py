"""What is sent to a control plane to drain nodes and to let them serve again. Pure; which nodes is plan/upgrades.py's."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from kprov.apply import wire
from kprov.apply.batch import Batch
from kprov.plan.runtime_swap import Swap
from kprov.values.paths import BIN

_READY = 180  # seconds


def drain_batch(names: Sequence[str], timeout: int, kubeconfig: bytes) -> Batch:
    """For a control plane: cordons nodes, then drains them side by side. Disruption budgets are respected."""
    batch = Batch()
    batch.attach_as("kubeconfig", kubeconfig)
    for name in names:
        batch.add(f"node {name} cordoned", wire.Cordon(node=name))
    batch.add(f"drain of {', '.join(names)}", wire.Drain(nodes=tuple(names), seconds=timeout))
    return batch


def reopen_batch(
    names: Sequence[str],
    version: str,
    swapped: Mapping[str, Swap],
    kubeconfig: bytes,
    *,
    networkless: Collection[str] = (),
) -> Batch:
    """For a control plane: waits until nodes are Ready with the wanted kubelet and, where it was swapped, runtime; then
    uncordons those kprov cordoned.

    networkless: nodes that were waiting for the user's own network before, and may go on doing so.
    """
    batch = Batch()
    batch.attach_as("kubeconfig", kubeconfig)
    kubectl = f"{BIN}/kubectl"
    for name in names:
        told = f"{kubectl} wait --for=jsonpath={{.status.nodeInfo.kubeletVersion}}=v{version} --timeout=10s node/{name}"
        ready = f"{kubectl} wait --for=condition=Ready --timeout=10s node/{name}"
        title = f"node {name} Ready with kubelet {version}"
        batch.add(title, wire.Gate(kind="command", seconds=_READY, argument=told))
        if name in networkless:
            batch.add(title, wire.Registered(nodes=(name,), seconds=_READY))
        else:
            batch.add(title, wire.Gate(kind="command", seconds=_READY, argument=ready))
        if name in swapped:
            runtime = swapped[name].coming
            shown = f"{kubectl} get node {name} -o jsonpath={{.status.nodeInfo.containerRuntimeVersion}}"
            asked = f"{runtime.scheme}:// {shown}"
            gate = wire.Gate(kind="says", seconds=_READY, argument=asked)
            batch.add(f"node {name} with {runtime.title}", gate)
        batch.add(f"node {name} uncordoned", wire.Uncordon(node=name))
    return batch
