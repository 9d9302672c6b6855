"""Which pods of this node may connect to kubelets: those that read their metrics, and no others. Pure.

A table of its own, which is there without a NetworkPolicy too. It runs on hosts, by the Python of their distribution: 3.6
and later.
"""

from typing import Any, Dict, FrozenSet, Iterable, NamedTuple, Tuple

from labels import Labels, Pod
from table import Node

TABLE = "kprov-kubelets"


class Kubelets(NamedTuple):
    """Where kubelets listen, and who reads them: namespaces with labels that a pod there has all of."""

    port: int
    hosts: "Tuple[str, ...]"
    readers: "Tuple[Tuple[str, Labels], ...]"


def of_settings(settings: "Dict[str, Any]", network: str) -> Kubelets:
    """Read what kprov says. Without readers nothing is to be done here. network: the text of the pod network's settings."""
    readers = tuple((each["namespace"], each["labels"]) for each in settings["readers"])
    words = [line.split() for line in network.splitlines()]
    return Kubelets(settings["port"], tuple(each[1] for each in words if each[:1] == ["host"]), readers)


def reading(kubelets: Kubelets, node: Node, pods: "Iterable[Pod]") -> "FrozenSet[str]":
    """Return the addresses of the node's pods that read kubelets; of another node's its own kernel decides."""
    return frozenset(
        pod.address
        for pod in pods
        if pod.node == node.name
        and any(
            pod.space == space and all(pod.labels.get(key) == value for key, value in labels.items())
            for space, labels in kubelets.readers
        )
    )


def gone(node: Node) -> str:
    """Return what takes the table away, whether it is there or not."""
    families = ("ip", "ip6") if node.six else ("ip",)
    return "".join("table %s %s\ndelete table %s %s\n" % (each, TABLE, each, TABLE) for each in families)


def whole(kubelets: Kubelets, node: Node, readers: "FrozenSet[str]") -> str:
    """Return the whole table, in place of what is there. Before their addresses are translated all of the pods are seen."""
    if not kubelets.readers:
        return gone(node)
    elements, hosts = (
        " elements = { %s };" % ", ".join(sorted(each)) if each else "" for each in (readers, kubelets.hosts)
    )
    end = "iifname %s tcp dport %d ip saddr != @readers drop" % (node.bridge, kubelets.port)
    made = """table ip %s {
    set readers { type ipv4_addr;%s }
    set hosts { type ipv4_addr;%s }
    chain forward { type filter hook forward priority filter - 1; policy accept; ip daddr @hosts %s; }
    chain input { type filter hook input priority filter - 1; policy accept; %s; }
}
""" % (TABLE, elements, hosts, end, end)
    return gone(node) + made + (_six(kubelets, node) if node.six else "")


def _six(kubelets: Kubelets, node: Node) -> str:
    """By IPv6 pods reach their own node, as each link has an address of itself; nobody reads it so."""
    return """table ip6 %s {
    chain input { type filter hook input priority filter - 1; policy accept; iifname %s tcp dport %d drop; }
}
""" % (TABLE, node.bridge, kubelets.port)
