"""What other installers, or another cluster, left on a host. Pure; nothing is ever adopted or removed because of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from kprov.observe.observation import Observation
from kprov.preflight.problem import Problem
from kprov.values.model import Host
from kprov.values.resources import Key

# What stands for a leftover in the host's ledger when it has no line of its own: who made it.
_MADE_BY: Mapping[str, Key] = {"/var/lib/etcd/member": ("file", "/etc/systemd/system/etcd.service")}


def check(host: Host, seen: Observation) -> Iterable[Problem]:
    foreign = [path for path in seen.facts.leftovers if not _ours(path, seen)]
    if foreign:
        yield Problem(
            name="LeftOver",
            host=host.name,
            what="another installer or another cluster left something here",
            found=", ".join(foreign),
            needed="a host without parts of another cluster, or one that kprov set up",
            todo=_todo(foreign),
        )


def _ours(path: str, seen: Observation) -> bool:
    return any((kind, path) in seen.records for kind in ("file", "binary", "directory")) or (
        path in _MADE_BY and _MADE_BY[path] in seen.records
    )


def _todo(foreign: list[str]) -> str:
    if any("rancher" in path or "k3s" in path for path in foreign):
        remedy = "run k3s-uninstall.sh or rke2-uninstall.sh on the host"
    elif any("k0s" in path for path in foreign):
        remedy = "run `k0s stop` and `k0s reset` on the host"
    elif "/usr/lib/systemd/system/kubelet.service" in foreign or "/etc/kubernetes/admin.conf" in foreign:
        remedy = "run `kubeadm reset` on the host and remove the packages kubeadm and kubelet"
    else:
        remedy = "remove these if no cluster needs them"
    if "/var/lib/etcd/member" in foreign:
        remedy += "; /var/lib/etcd holds a cluster's data: save it first (etcdutl snapshot, or move the folder away)"
    return remedy
