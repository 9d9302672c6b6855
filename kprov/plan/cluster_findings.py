"""What is not well in the cluster itself, by what its API lists: nodes and cluster DNS. Pure.

What is not well on a host is in `findings.py`, add-ons tell of themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from kprov.addon.readiness import why_not_ready
from kprov.objects.objects import Object
from kprov.plan.findings import Finding
from kprov.plan.upgrades import CORDONED

_CLUSTER = "cluster"
_DNS = ("Deployment", "kube-system", "coredns")
# Conditions of a Node that are bad when they are true, and what kubelet does then
# (https://kubernetes.io/docs/reference/node/node-status/#condition).
_PRESSURES: Mapping[str, str] = {
    "DiskPressure": "its disk is nearly full: kubelet evicts pods and takes no new ones",
    "MemoryPressure": "its memory is nearly used up: kubelet evicts pods",
    "PIDPressure": "it has too many processes: kubelet evicts pods and takes no new ones",
    "NetworkUnavailable": "its pod network is not set up",
}


def cluster_findings(live: Iterable[Object]) -> tuple[Finding, ...]:
    """Return all findings: nodes in the order of the API, then DNS. live: Nodes and kprov's objects, with their status."""
    items = list(live)
    nodes = [item for item in items if item["kind"] == "Node"]
    return (*(one for node in nodes for one in _of_node(node)), *(one for item in items for one in _of_dns(item)))


def _of_node(node: Object) -> Iterable[Finding]:
    name, conditions = str(node["metadata"]["name"]), _conditions(node)
    ready = conditions.get("Ready", {})
    if ready.get("status") != "True":
        said = ": ".join(str(ready[key]) for key in ("reason", "message") if ready.get(key))
        yield Finding(
            name="NodeNotReady",
            host=name,
            what=f"its Node is not Ready: {said or 'kubelet has not told anything yet'}",
            todo="look at `journalctl -u kubelet -n 50` there, and at the runtime's; `kprov up` puts right what is kprov's",
        )
    for kind, what in _PRESSURES.items():
        condition = conditions.get(kind, {})
        if condition.get("status") == "True":
            yield Finding(
                name=kind,
                host=name,
                what=f"{what} ({condition.get('message') or condition.get('reason', '')})",
                todo=f"`kubectl describe node {name}` shows what it has and who uses it; make room, or move pods away",
            )
    if (node.get("spec") or {}).get("unschedulable") and CORDONED not in (node["metadata"].get("annotations") or {}):
        yield Finding(
            name="NodeCordoned",
            host=name,
            what="its Node is cordoned: no new pods go there",
            todo=f"leave it if it is meant; else `kubectl uncordon {name}`",
            grave=False,  # somebody's decision; what kprov cordoned it opens itself
        )


def _of_dns(item: Object) -> Iterable[Finding]:
    meta = item["metadata"]
    if (item["kind"], meta.get("namespace"), meta["name"]) != _DNS:
        return
    none = not (item.get("status") or {}).get("availableReplicas")
    reason = why_not_ready(item) or ("no pod is ready" if none else "")  # of none that are asked for, all are ready
    if not reason:
        return
    yield Finding(
        name="ClusterDns",
        host=_CLUSTER,
        what=f"CoreDNS: {reason}" + (": pods find no names" if none else ""),
        todo=(
            "`kubectl -n kube-system get pods -l k8s-app=kube-dns` names its pods, `kubectl -n kube-system logs -l "
            "k8s-app=kube-dns` tells why they do not run"
        ),
        grave=none,
    )


def _conditions(node: Object) -> Mapping[str, Mapping[str, Any]]:
    return {str(row.get("type")): row for row in (node.get("status") or {}).get("conditions") or ()}
