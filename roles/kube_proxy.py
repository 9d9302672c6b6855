"""kube-proxy on a node: service addresses in nftables or iptables of the host's own kernel."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kprov.pki.kubeconfig import referencing
from kprov.roles.documents import arguments, dump, laid_over, parsing
from kprov.roles.layout import (
    CA,
    KUBERNETES,
    api_server_url,
    ca_file,
    certificates,
    kube_proxy_mode,
    program,
)
from kprov.roles.templating import render, render_script
from kprov.values import components
from kprov.values.context import Context
from kprov.values.model import Cluster, Facts
from kprov.values.paths import BIN, KUBE_PROXY_CONFIG
from kprov.values.resources import FILE, Directory, File, Gate, Resource, Unit

KUBECONFIG = f"{KUBERNETES}/proxy.conf"
CONFIG = KUBE_PROXY_CONFIG
RULES_SCRIPT = f"{BIN}/kprov-service-rules"
RULES_UNIT = components.SERVICE_RULES.unit
_RECORD = components.KUBE_PROXY
_CLIENT = _RECORD.leaf("kube-proxy")


def resources(ctx: Context) -> Iterable[Resource]:
    if not ctx.host.is_node:
        return
    kubeconfig = referencing(api_server_url(ctx.cluster), CA, f"{_CLIENT}.crt", f"{_CLIENT}.key", "kube-proxy")
    yield Directory(path="/var/lib/kube-proxy", mode=0o700)
    yield ca_file(ctx)
    yield File(path=KUBECONFIG, content=kubeconfig.encode(), mode=0o600)
    yield File(
        path=CONFIG,
        content=dump(laid_over(_config(ctx), ctx.host.kube_proxy)),
        mode=0o600,
        check=(f"{BIN}/kube-proxy", "--config", FILE, "--write-config-to", "/dev/null"),  # validates, writes, ends
    )
    yield from certificates(ctx, _RECORD)
    yield program(ctx, "kube-proxy")
    words = arguments({"config": CONFIG}, ctx.host.extra_args.get("kube-proxy", {}))
    yield Unit(
        name=_RECORD.unit,
        content=render(
            ctx.cluster.templates_dir,
            "kube_proxy/kube-proxy.service.j2",
            bin=BIN,
            arguments=words,
        ),
        reads=frozenset({f"{BIN}/kube-proxy", CA, KUBECONFIG, CONFIG}),
        reloads=_RECORD.read_again,
        check=parsing(f"{BIN}/kube-proxy", words),
        gates=(Gate(kind="http", argument=_RECORD.health.argument),),
    )
    yield from _watch(ctx)


def _watch(ctx: Context) -> Iterable[Resource]:
    """The unit that notices when something flushed the rules."""
    user = ctx.cluster.templates_dir
    mode = kube_proxy_mode(ctx.cluster, ctx.own)
    yield render_script(user, "kube_proxy/kprov-service-rules.sh", RULES_SCRIPT)
    yield Unit(
        name=RULES_UNIT,
        content=render(user, "kube_proxy/kprov-service-rules.service.j2", script=RULES_SCRIPT, mode=mode),
        reads=frozenset({RULES_SCRIPT}),
        gates=(Gate(kind="active", argument=RULES_UNIT),),
    )


def rules_table(cluster: Cluster, facts: Facts) -> str:
    """Where kube-proxy keeps its rules, as the probe names it: a table of nftables, or a chain of iptables."""
    return "ip kube-proxy" if kube_proxy_mode(cluster, facts) == "nftables" else "iptables KUBE-SERVICES"


def _config(ctx: Context) -> dict[str, Any]:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": KUBECONFIG},
        "mode": kube_proxy_mode(ctx.cluster, ctx.own),
        "clusterCIDR": str(ctx.cluster.pod_cidr),
        "detectLocalMode": "ClusterCIDR",
        "hostnameOverride": ctx.host.name,
        "bindAddress": ctx.node_ip,
        "healthzBindAddress": f"0.0.0.0:{_RECORD.port('health')}",  # load balancers ask it from outside
        "metricsBindAddress": f"127.0.0.1:{_RECORD.port('metrics')}",
    }
