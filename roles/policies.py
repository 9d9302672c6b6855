"""What enforces NetworkPolicies on a node with a built-in pod network: a program that keeps rules of nftables.

It is told of pods, namespaces and policies by the API server and writes rules for the pods of its node; packets never
pass through it. With another network, or `policies: off`, nothing of it is desired.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from kprov.roles.layout import CA, api_server_url, ca_file, certificates, cni_cache
from kprov.roles.network import BRIDGE, kubelet_readers
from kprov.roles.network import SETTINGS as NETWORK_SETTINGS
from kprov.roles.node_dns import cache_address
from kprov.roles.templating import render
from kprov.values import components
from kprov.values.context import Context
from kprov.values.resources import Directory, File, Gate, Resource, Unit

FOLDER = "/opt/kprov/policies"
SETTINGS = "/etc/kprov/policies.json"
STATE = "/var/lib/kprov-policies"
PARTS = ("__main__.py", "kubelets.py", "labels.py", "node.py", "ranges.py", "rules.py", "table.py", "watch.py")
_RECORD = components.POLICIES
_CLIENT = _RECORD.leaf("policies")


def resources(ctx: Context) -> Iterable[Resource]:
    if not ctx.host.is_node or not ctx.cluster.network.enforces:
        return
    user = ctx.cluster.templates_dir
    parts = [File(path=f"{FOLDER}/{name}", content=render(user, f"policies/{name}")) for name in PARTS]
    yield ca_file(ctx)
    yield from certificates(ctx, _RECORD)
    yield Directory(path=FOLDER)
    yield Directory(path=STATE, mode=0o700, purge=True)
    yield from parts
    yield File(path=SETTINGS, content=_settings(ctx))
    yield Unit(
        name=_RECORD.unit,
        content=render(user, "policies/kprov-policies.service.j2", folder=FOLDER),
        reads=frozenset({SETTINGS, *(part.path for part in parts)}),
        reloads=frozenset({CA, NETWORK_SETTINGS, *_RECORD.read_again}),
        gates=(Gate(kind="http", argument=_RECORD.health.argument),),
    )


def _settings(ctx: Context) -> bytes:
    settings = {
        "node": ctx.host.name,
        "own": str(ctx.pod_cidrs[ctx.host.name]),
        "cache": cache_address(ctx.cluster),
        "bridge": BRIDGE,
        "given": f"{cni_cache(ctx.host)}/results",
        "server": api_server_url(ctx.cluster),
        "ca": CA,
        "certificate": f"{_CLIENT}.crt",
        "key": f"{_CLIENT}.key",
        "port": _RECORD.port("health"),
        "network": NETWORK_SETTINGS,
        "kubelets": _kubelets(ctx),
    }
    return (json.dumps(settings, indent=2) + "\n").encode()


def _kubelets(ctx: Context) -> Mapping[str, Any]:
    """Whose pods read kubelets: nobody's, where all may connect or none. Hosts stand in the network's settings."""
    readers = kubelet_readers(ctx.cluster) if ctx.cluster.network.hosts != "open" else ()
    return {
        "port": components.KUBELET.port("https"),
        "readers": [{"namespace": each.namespace, "labels": dict(each.description.reads_kubelets)} for each in readers],
    }
