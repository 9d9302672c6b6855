"""node_exporter on every host while monitoring is on, also where no kubelet runs: figures of kernel, disks and network.

It listens on loopback; kprov-metrics-proxy is the way in.
"""

from __future__ import annotations

from collections.abc import Iterable

from kprov.roles.layout import program
from kprov.roles.templating import render
from kprov.values import components
from kprov.values.context import Context
from kprov.values.paths import BACKUP_METRICS, BIN
from kprov.values.resources import Gate, Resource, Unit, User

_RECORD = components.NODE_EXPORTER
_NAME = _RECORD.name
# What dashboards and alerts are about; the other collectors cost more than they tell.
_COLLECTORS = (
    *("conntrack", "cpu", "diskstats", "edac", "filefd", "filesystem", "loadavg", "mdadm", "meminfo", "netdev", "os"),
    *("pressure", "stat", "time", "timex", "uname", "vmstat"),
)
# File systems and devices that belong to pods, or to the kernel itself.
_MOUNTS = "^/(dev|proc|run|sys|var/lib/(containerd|containers/storage|docker|kubelet/(pods|plugins)))($|/)"
_DEVICES = "^(veth|cali|lxc|cni|docker|br-)"


def resources(ctx: Context) -> Iterable[Resource]:
    if ctx.cluster.addon("monitoring") is None:
        return
    yield User(name=_NAME)
    yield program(ctx, "node-exporter")
    yield Unit(
        name=_RECORD.unit,
        content=render(
            ctx.cluster.templates_dir,
            "node_exporter/kprov-node-exporter.service.j2",
            user=_NAME,
            bin=BIN,
            arguments=_arguments(ctx),
        ),
        reads=frozenset({f"{BIN}/node-exporter"}),
        gates=(Gate(kind="http", argument=_RECORD.health.argument),),
    )


def _arguments(ctx: Context) -> tuple[str, ...]:
    timed = ctx.cluster.backup.every and ctx.host.in_group("etcd")
    return (
        f"--web.listen-address=127.0.0.1:{_RECORD.port('metrics')}",
        "--web.disable-exporter-metrics",
        f"--collector.filesystem.mount-points-exclude={_MOUNTS}",
        f"--collector.netdev.device-exclude={_DEVICES}",
        "--collector.disable-defaults",
        *(f"--collector.{name}" for name in _COLLECTORS),
        *(("--collector.textfile", f"--collector.textfile.directory={BACKUP_METRICS}") if timed else ()),
    )
