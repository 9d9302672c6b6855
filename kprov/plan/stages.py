"""The table of contents of `kprov up`: the stages, in order, with the hosts they run on and how they roll over them.

Read this first. A component is added by writing a role and naming it in one row here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from kprov.plan import stage_names as names
from kprov.plan.rolls import (
    ApiServers,
    Canary,
    Drained,
    FirstAddons,
    Learned,
    Members,
    OtherAddons,
    OwnObjects,
    Parallel,
    Ready,
    Rewritten,
    Roll,
    Serial,
    Workloads,
)
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
    policies,
    scheduler,
    timed_backup,
)
from kprov.values.context import Context
from kprov.values.model import Host
from kprov.values.resources import Resource

Role = Callable[[Context], Iterable[Resource]]


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One row of the program.

    ends_run: an add-on that is refused in it ends the run, since what comes after it would wait for nodes in vain;
    elsewhere it stops nothing. repairs: it goes on where kprov's own objects were refused: it brings hosts back, and the
    cluster needs these most when something in it refuses objects.
    needs: the stage that must have ended before a host that serves nothing yet may begin this one; empty: all before it.
    beside: the stage while whose units come up such a host does this one, where it has both.
    """

    name: str
    title: str
    roll: Roll
    roles: tuple[Role, ...] = ()
    hosts: Callable[[Host], bool] = lambda _: True
    ends_run: bool = False
    needs: str = ""
    beside: str = ""
    repairs: bool = False


def _node(host: Host) -> bool:
    return host.is_node


def _etcd(host: Host) -> bool:
    return host.in_group("etcd")


def _control_plane(host: Host) -> bool:
    return host.in_group("control_plane")


# fmt: off
STAGES: tuple[Stage, ...] = (
    Stage(name=names.HOST, title="Hosts", roll=Canary(), roles=(host.resources,)),
    Stage(name=names.ETCD, title="etcd", roll=Members(), hosts=_etcd, roles=(etcd.resources,)),
    Stage(name=names.API_SERVER, title="API servers", roll=ApiServers(), hosts=_control_plane, roles=(api_server.resources,)),
    Stage(name=names.CONTROLLERS, title="Controller managers and schedulers", roll=Serial(), hosts=_control_plane,
          roles=(controller_manager.resources, scheduler.resources)),
    Stage(name=names.RUNTIME, title="Container runtime and pod network", roll=Canary(), hosts=_node,
          needs=names.HOST, beside=names.API_SERVER,
          roles=(container_runtime.resources, network.resources, node_dns.resources, api_proxy.resources,
                 addon_directories.resources)),
    # These three have work only while the pod network of a living cluster changes (network_change.py). In the first of
    # them each node waits until it reaches all others the new way: they come together.
    Stage(name=names.BOTH_WAYS, title="Pod network: the new way beside the old one", roll=Parallel(), hosts=_node),
    Stage(name=names.ROUTES, title="Pod network: from the old way to the new one", roll=Serial(), hosts=_node),
    Stage(name=names.ONE_WAY, title="Pod network: the old way goes", roll=Canary(), hosts=_node),
    Stage(name=names.OBJECTS, title="Cluster objects", roll=OwnObjects(), hosts=_control_plane),
    Stage(name=names.NODE, title="Nodes", roll=Canary(), hosts=_node, repairs=True,
          roles=(policies.resources, kubelet.resources, kube_proxy.resources)),
    Stage(name=names.NETWORK, title="Cloud controller and pod network", roll=FirstAddons(), ends_run=True,
          hosts=_control_plane),
    Stage(name=names.UPGRADE, title="Nodes, drained for their upgrade", roll=Drained(), hosts=_node),
    Stage(name=names.HOST_LOGS, title="Log collectors of hosts", roll=Canary(), repairs=True,
          roles=(host_logs.resources,)),
    Stage(name=names.METRICS, title="Metrics for monitoring", roll=Canary(), repairs=True,
          roles=(node_exporter.resources, metrics_proxy.resources, metrics_store.resources)),
    Stage(name=names.BACKUPS, title="Timed backups", roll=Canary(), hosts=_etcd, repairs=True,
          roles=(timed_backup.resources,)),
    Stage(name=names.WORKLOADS, title="Workloads", roll=Workloads(), hosts=_control_plane),
    Stage(name=names.ADDONS, title="Add-ons", roll=OtherAddons(), hosts=_control_plane),
    # These three have work only while what encrypts objects in etcd changes (encryption_change.py).
    Stage(name=names.NEW_KEY, title="Encryption: the new key writes", roll=Learned(), hosts=_control_plane),
    Stage(name=names.REWRITE, title="Encryption: every object is written again", roll=Rewritten(), hosts=_control_plane),
    Stage(name=names.OLD_KEY, title="Encryption: the old key goes", roll=Parallel(), hosts=_control_plane),
    Stage(name=names.READY, title="Ready", roll=Ready(), hosts=_control_plane),
    Stage(name=names.CLEANUP, title="Cleanup", roll=Parallel()),
)
# fmt: on


def desired(context: Context) -> dict[str, list[Resource]]:
    """What one host should have, by stage."""
    return {
        stage.name: [resource for role in stage.roles for resource in role(context)]
        for stage in STAGES
        if stage.roles and stage.hosts(context.host)
    }
