"""kubelet on a node: configuration, certificates that kprov issued, unit. The Node object itself is made elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from kprov.pki.kubeconfig import referencing
from kprov.roles.documents import arguments, dump, laid_over, parsing
from kprov.roles.host import protects_kernel_defaults
from kprov.roles.layout import (
    CA,
    CIPHER_SUITES,
    KUBERNETES,
    api_server_url,
    ca_file,
    certificates,
    program,
)
from kprov.roles.node_dns import name_servers
from kprov.roles.reservations import kube_reserved, system_reserved
from kprov.roles.templating import render
from kprov.values import components
from kprov.values.context import Context
from kprov.values.durations import go_seconds
from kprov.values.model import Facts
from kprov.values.paths import BIN, KUBELET_CONFIG
from kprov.values.resources import FILE, Directory, File, Gate, Resource, Unit
from kprov.values.runtimes import RUNTIMES

KUBECONFIG = f"{KUBERNETES}/kubelet.conf"
CONFIG = KUBELET_CONFIG
JUDGE = f"{BIN}/kprov-judge-kubelet"
_RECORD = components.KUBELET
UNIT = _RECORD.unit
HEALTHY = Gate(kind="http", argument=_RECORD.health.argument, deadline=120)
_CLIENT, _SERVING = _RECORD.leaf("kubelet-client"), _RECORD.leaf("kubelet-serving")
_WEBSOCKETS = (1, 36)  # since when kubelet is sent WebSockets, if it says that it takes them
_RESOLVED_STUB = "127.0.0.53"


def resources(ctx: Context) -> Iterable[Resource]:
    if not ctx.host.is_node:
        return
    kubeconfig = referencing(api_server_url(ctx.cluster), CA, f"{_CLIENT}.crt", f"{_CLIENT}.key", "kubelet")
    yield Directory(path="/var/lib/kubelet", mode=0o750, purge=True)
    yield ca_file(ctx)
    yield File(path=KUBECONFIG, content=kubeconfig.encode(), mode=0o600)
    config = laid_over(_config(ctx), ctx.host.kubelet)
    yield from _judge(ctx)
    yield File(path=CONFIG, content=dump(config), mode=0o600, check=(JUDGE, FILE) if ctx.host.kubelet else ())
    yield from _shutdown_delay(config)
    yield from certificates(ctx, _RECORD)
    yield program(ctx, "kubelet")
    yield _unit(ctx)


def _judge(ctx: Context) -> Iterable[File]:
    """What asks kubelet about settings of the inventory before they get their place."""
    if ctx.host.kubelet:
        content = render(ctx.cluster.templates_dir, "kubelet/kprov-judge-kubelet.sh.j2", bin=BIN)
        yield File(path=JUDGE, content=content, mode=0o755)


def _shutdown_delay(config: Mapping[str, Any]) -> Iterable[File]:
    """What kubelet itself writes to make logind wait at shutdown, word for word: made ours, so that it goes again."""
    rows = config.get("shutdownGracePeriodByPodPriority") or ()
    seconds = sum(row.get("shutdownGracePeriodSeconds", 0) for row in rows if isinstance(row, Mapping))
    seconds = seconds or go_seconds(config.get("shutdownGracePeriod", "0s"))
    if seconds:
        text = f"# Kubelet logind override\n[Login]\nInhibitDelayMaxSec={seconds:.0f}\n"
        yield File(path="/etc/systemd/logind.conf.d/99-kubelet.conf", content=text.encode())


def _unit(ctx: Context) -> Unit:
    words = arguments(_flags(ctx), ctx.host.extra_args.get("kubelet", {}))
    return Unit(
        name=UNIT,
        content=render(
            ctx.cluster.templates_dir,
            "kubelet/kubelet.service.j2",
            bin=BIN,
            runtime=RUNTIMES[ctx.host.runtime].serving,
            arguments=words,
        ),
        reads=frozenset({f"{BIN}/kubelet", CA, KUBECONFIG, CONFIG}),
        reloads=_RECORD.read_again,
        check=parsing(f"{BIN}/kubelet", words),
        gates=(HEALTHY,),
        heartbeat=True,
    )


def _flags(ctx: Context) -> dict[str, str]:
    flags = {"config": CONFIG, "kubeconfig": KUBECONFIG, "node-ip": ctx.node_ip}
    if ctx.own.hostname.lower() != ctx.host.name:
        flags["hostname-override"] = ctx.host.name  # only then: CIS 4.2.7 wants it absent
    if ctx.cluster.cloud is not None:
        flags["cloud-provider"] = "external"
        flags |= {"provider-id": ctx.host.provider_id} if ctx.host.provider_id else {}
    return flags


def _config(ctx: Context) -> dict[str, Any]:
    return _access() | _limits(ctx) | _surroundings(ctx)


def _access() -> dict[str, Any]:
    """Who may ask kubelet. rotateCertificates is left out: kprov renews the client certificate, in the file that the
    kubeconfig names; with rotation on, kubelet would move to a store of its own and wait for a signer for ever."""
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": CA},
        },
        "authorization": {"mode": "Webhook"},
        "readOnlyPort": 0,
        "enableProfilingHandler": False,
        "enableDebugFlagsHandler": False,
        "healthzBindAddress": "127.0.0.1",
        "healthzPort": _RECORD.port("health"),
        "tlsCertFile": f"{_SERVING}.crt",
        "tlsPrivateKeyFile": f"{_SERVING}.key",
        "tlsMinVersion": "VersionTLS12",
        # CIS 4.2.12 knows the CHACHA20 suites by their older names only; kubelet takes both.
        "tlsCipherSuites": [name.replace("POLY1305_SHA256", "POLY1305") for name in CIPHER_SUITES],
    }


_SHUTDOWN = {"shutdownGracePeriod": "60s", "shutdownGracePeriodCriticalPods": "20s"}


def _limits(ctx: Context) -> dict[str, Any]:
    return {
        "streamingConnectionIdleTimeout": "5m0s",
        "makeIPTablesUtilChains": True,
        "eventRecordQPS": 50,
        "podPidsLimit": 4096,
        "seccompDefault": True,
        "protectKernelDefaults": protects_kernel_defaults(ctx.host),
        "serializeImagePulls": False,
        **({} if ctx.host.kubelet.get("serializeImagePulls") else {"maxParallelImagePulls": 4}),  # excludes it
        "containerLogMaxSize": "10Mi",
        "containerLogMaxFiles": 5,
        **({} if ctx.host.kubelet.get("shutdownGracePeriodByPodPriority") else _SHUTDOWN),  # excludes these
        "kubeReserved": kube_reserved(ctx.own.cpus, ctx.own.memory),
        "systemReserved": system_reserved(ctx.own.memory, ctx.host.groups),
        "evictionHard": {  # naming one threshold drops the defaults of the others: name all
            "memory.available": "200Mi",
            "nodefs.available": "10%",
            "nodefs.inodesFree": "5%",
            "imagefs.available": "15%",
            "imagefs.inodesFree": "5%",
        },
    }


def _surroundings(ctx: Context) -> dict[str, Any]:
    config: dict[str, Any] = {
        "cgroupDriver": "systemd",
        "containerRuntimeEndpoint": f"unix://{RUNTIMES[ctx.host.runtime].cri}",
        "volumePluginDir": "/var/lib/kubelet/volume-plugins",  # not made below /usr, which may be read-only
        "clusterDomain": ctx.cluster.domain,
        "clusterDNS": name_servers(ctx.cluster),
        "failSwapOn": ctx.cluster.swap == "off",
    }
    if ctx.host.runtime == "docker" and ctx.cluster.kubernetes_minor >= _WEBSOCKETS:
        # cri-dockerd's addresses for exec and attach have no scheme, and the API server's WebSockets end in an error.
        config["featureGates"] = {"ExtendWebSocketsToKubelet": False}
    if ctx.own.cgroup == 1 and ctx.cluster.allow_cgroup_v1:
        config["failCgroupV1"] = False
    if uses_resolved_stub(ctx.own):
        config["resolvConf"] = "/run/systemd/resolve/resolv.conf"
    return config


def uses_resolved_stub(facts: Facts) -> bool:
    """Whether systemd-resolved answers on its stub: pods cannot reach that address, so they get its servers."""
    return any(item.port == 53 and item.address.startswith(_RESOLVED_STUB) for item in facts.listeners)
