"""The folder of the metrics store on the node that has it, where no StorageClass gives it a volume. Nothing else."""

from __future__ import annotations

from collections.abc import Iterable

from kprov.roles.stores import store_folder
from kprov.values.context import Context
from kprov.values.resources import Resource

FOLDER = "/var/lib/kprov-monitoring"


def resources(ctx: Context) -> Iterable[Resource]:
    addon = ctx.cluster.addon("monitoring")
    if addon is not None:
        yield from store_folder(ctx.cluster, addon, ctx.host.name, FOLDER)
