"""The folders that add-ons have on every node. What add-ons want in the cluster itself is not here: see kprov.addon."""

from __future__ import annotations

from collections.abc import Iterable

from kprov.values.context import Context
from kprov.values.resources import Directory, Resource


def resources(ctx: Context) -> Iterable[Resource]:
    if not ctx.host.is_node:
        return
    for addon in ctx.cluster.addons:
        for folder in addon.description.directories:
            yield Directory(
                path=folder.path, owner=folder.owner, group=folder.owner, mode=folder.mode, purge=True, data=folder.data
            )
