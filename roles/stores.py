"""Which node has the folder of an add-on's store, where no StorageClass gives it a volume. Wants nothing itself."""

from __future__ import annotations

from kprov.values.addon import Addon
from kprov.values.errors import AddonError
from kprov.values.model import Cluster
from kprov.values.resources import Directory


def store_folder(cluster: Cluster, addon: Addon, host: str, path: str) -> tuple[Directory, ...]:
    """The folder, on the host that has it: its data stays when the add-on goes. Raises AddonError as `store_host` does."""
    if store_host(cluster, addon) != host:
        return ()
    # The store's pod is in the group of root, and in no other that hosts have a name for.
    return (Directory(path=path, mode=0o770, purge=True, data=True),)


def store_host(cluster: Cluster, addon: Addon) -> str:
    """The node with the folder, as the add-on's volume names it (addons/_macros/store.j2). Empty when a class gives it.

    addon: one with the parameters `storage_class` and `node`. Raises AddonError when the inventory names a host that is
    no node.
    """
    if addon.parameters.get("storage_class") or cluster.addon("storage") is not None:
        return ""
    workers = [host.name for host in cluster.hosts if host.in_group("worker")]
    nodes = [host.name for host in cluster.nodes]
    named = str(addon.parameters.get("node") or "")
    if named and named not in nodes:
        raise AddonError(
            f"the store of the add-on {addon.name} cannot be on this host",
            where=f"cluster.addons.{addon.name}.node",
            found=named,
            needed=f"a node: one of {', '.join(nodes)}",
            todo="name one of them, or leave the key out",
        )
    return named or next(iter(workers or nodes))
