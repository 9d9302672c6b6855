"""The table of contents of `kprov up`: the stages, in order, with the hosts they run on and how they roll over them.

Read this first. A component is added by writing a role and naming it in one row here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from kprov.roles import (
    addon_directories,
    api_proxy,
    api_server,
    container_runtime,
    controller_manager,
    etcd,
    host,
    host_logs,
    kube_proxy,
    kubelet,
    metrics_proxy,
    metrics_store,
    network,
    node_dns,
    node_exporter,
    scheduler,
)
from kprov.values.context import Context
from kprov.values.model import Host
from kprov.values.resources import Resource

Role = Callable[[Context], Iterable[Resource]]

# How a stage goes over its hosts. `parallel`: all at once. `serial`: hosts that serve now one by one, the others before
# them at once. `canary`: one that serves first, then the rest at once. `etcd`: serial, with quorum and membership kept.
# `drain`: nodes whose kubelet gets another minor version or whose runtime is replaced, each emptied first; what they
# want of `runtime` and `node` waits for it (node_upgrades.py). `objects` and `workloads`: once, on a control plane; what
# runs as pods waits for the nodes, so that it is spread over all of them. `addons`: the same, and one that fails stops
# nothing. `network`: a cloud's controller and an add-on that is the pod network, before the nodes are waited for.
# `ready`: once, on a control plane, only when something changed.
Roll = Literal["parallel", "serial", "canary", "etcd", "objects", "network", "drain", "workloads", "addons", "ready"]


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One row of the program."""

    name: str
    title: str
    roll: Roll
    roles: tuple[Role, ...] = ()
    hosts: Callable[[Host], bool] = lambda _: True


def _node(host: Host) -> bool:
    return host.is_node


def _etcd(host: Host) -> bool:
    return host.in_group("etcd")


def _control_plane(host: Host) -> bool:
    return host.in_group("control_plane")


# fmt: off
STAGES: tuple[Stage, ...] = (
    Stage(name="host", title="Hosts", roll="parallel", roles=(host.resources,)),
    Stage(name="etcd", title="etcd", roll="etcd", hosts=_etcd, roles=(etcd.resources,)),
    Stage(name="api-server", title="API servers", roll="serial", hosts=_control_plane, roles=(api_server.resources,)),
    Stage(name="controllers", title="Controller managers and schedulers", roll="serial", hosts=_control_plane,
          roles=(controller_manager.resources, scheduler.resources)),
    Stage(name="runtime", title="Container runtime and pod network", roll="parallel", hosts=_node,
          roles=(container_runtime.resources, network.resources, node_dns.resources, api_proxy.resources,
                 addon_directories.resources)),
    # These three have work only while the pod network of a living cluster changes (network_change.py).
    Stage(name="both-ways", title="Pod network: the new way beside the old one", roll="parallel", hosts=_node),
    Stage(name="routes", title="Pod network: from the old way to the new one", roll="serial", hosts=_node),
    Stage(name="one-way", title="Pod network: the old way goes", roll="parallel", hosts=_node),
    Stage(name="objects", title="Cluster objects", roll="objects", hosts=_control_plane),
    Stage(name="node", title="Nodes", roll="canary", hosts=_node, roles=(kubelet.resources, kube_proxy.resources)),
    Stage(name="network", title="Cloud controller and pod network", roll="network", hosts=_control_plane),
    Stage(name="upgrade", title="Nodes, drained for their upgrade", roll="drain", hosts=_node),
    Stage(name="host-logs", title="Log collectors of hosts", roll="parallel", roles=(host_logs.resources,)),
    Stage(name="metrics", title="Metrics for monitoring", roll="parallel",
          roles=(node_exporter.resources, metrics_proxy.resources, metrics_store.resources)),
    Stage(name="workloads", title="Workloads", roll="workloads", hosts=_control_plane),
    Stage(name="addons", title="Add-ons", roll="addons", hosts=_control_plane),
    Stage(name="ready", title="Ready", roll="ready", hosts=_control_plane),
    Stage(name="cleanup", title="What is no longer wanted", roll="parallel"),
)
# fmt: on


def desired(context: Context) -> dict[str, list[Resource]]:
    """What one host should have, by stage."""
    return {
        stage.name: [resource for role in stage.roles for resource in role(context)]
        for stage in STAGES
        if stage.roles and stage.hosts(context.host)
    }
