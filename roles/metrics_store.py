"""The folder of the metrics store on the node that has it, where no StorageClass gives it a volume. Nothing else."""

from __future__ import annotations

from collections.abc import Iterable

from kprov.addon.spec import Addon
from kprov.context import Context
from kprov.model import Cluster
from kprov.resources import Directory, Resource

FOLDER = "/var/lib/kprov-monitoring"


def resources(ctx: Context) -> Iterable[Resource]:
    addon = ctx.cluster.addon("monitoring")
    if addon is None or store_host(ctx.cluster, addon) != ctx.host.name:
        return
    # Its pod is in the group of root, and in no other that hosts have a name for.
    yield Directory(path=FOLDER, mode=0o770, purge=True, data=True)


def store_host(cluster: Cluster, addon: Addon) -> str:
    """The node with the folder, as the add-on's volume names it. Empty when a claim gets a volume of a class."""
    if addon.parameters.get("storage_class") or cluster.addon("storage"):
        return ""
    workers = [host.name for host in cluster.nodes if host.in_group("worker")]
    named = addon.parameters.get("node")
    return str(named) if named else next(iter([*workers, *(host.name for host in cluster.nodes)]), "")
