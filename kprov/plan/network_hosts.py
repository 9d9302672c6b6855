"""Whether pods reach ports of hosts, where the inventory does not say: closed in a new cluster, and else as it is. Pure.

Each node keeps a record of it. A cluster that is older than the record was made with everything open, and pods of its users
may rely on that: it stays so until somebody says otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from kprov.observe.observation import Observation
from kprov.values.components import KUBELET
from kprov.values.model import Cluster, NetworkSettings
from kprov.values.paths import NETWORK_HOSTS


def is_open_by_age(network: NetworkSettings, seen: Observation) -> bool:
    """Say whether this node is open only because nobody has said anything since it was made."""
    living = ("unit", KUBELET.unit) in seen.records
    return network.built_in and not network.hosts and living and _told(seen) != "closed"


def decided(cluster: Cluster, observations: Mapping[str, Observation]) -> Cluster:
    """Return the cluster with the choice made for all of its nodes. One that says closed speaks for those that join."""
    network = cluster.network
    if network.hosts or not network.built_in:
        return cluster
    nodes = [observations[host.name] for host in cluster.nodes if host.name in observations]
    closed = any(_told(seen) == "closed" for seen in nodes) or not any(is_open_by_age(network, seen) for seen in nodes)
    return replace(cluster, network=replace(network, hosts="closed" if closed else "open"))


def _told(seen: Observation) -> str:
    if ("file", NETWORK_HOSTS) not in seen.records:
        return ""
    return seen.texts.get(NETWORK_HOSTS, b"").decode(errors="replace").strip()
