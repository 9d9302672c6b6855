"""kube-scheduler on a control plane host; it talks to the API server of its own host."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kprov.pki.kubeconfig import referencing
from kprov.roles.documents import arguments, dump, laid_over, parsing
from kprov.roles.layout import (
    CA,
    CIPHER_SUITES,
    FRONT_PROXY_CA,
    KUBERNETES,
    LOCAL_API,
    ca_file,
    certificates,
    component_folder,
    credential,
    program,
    raw_query,
)
from kprov.roles.templating import render
from kprov.values import components
from kprov.values.context import Context
from kprov.values.paths import BIN
from kprov.values.resources import FILE, File, Gate, Resource, Unit, User

USER = "kube-scheduler"
_RECORD = components.KUBE_SCHEDULER
PORT = _RECORD.port("https")
FOLDER = f"{KUBERNETES}/{USER}"
KUBECONFIG = f"{KUBERNETES}/scheduler.conf"
CONFIG = f"{KUBERNETES}/scheduler-config.yaml"
JUDGE = f"{BIN}/kprov-judge-kube-scheduler"
CREDENTIALS = {"kubeconfig": KUBECONFIG, "config.yaml": CONFIG}
_CLIENT, _SERVING = _RECORD.leaf("kube-scheduler"), _RECORD.leaf("kube-scheduler-serving")


def resources(ctx: Context) -> Iterable[Resource]:
    if not ctx.host.in_group("control_plane"):
        return
    kubeconfig = referencing(LOCAL_API, CA, f"{_CLIENT}.crt", f"{_CLIENT}.key", "system:" + USER)
    yield User(name=USER)
    yield component_folder(USER)
    yield ca_file(ctx)
    yield File(path=FRONT_PROXY_CA, content=ctx.trust.bundle["front-proxy"])
    yield File(path=KUBECONFIG, content=kubeconfig.encode(), mode=0o600)
    yield from _configuration(ctx)
    yield from certificates(ctx, _RECORD, owner=USER)
    yield from (program(ctx, name) for name in (USER, "kubectl"))
    yield _unit(ctx)


def _configuration(ctx: Context) -> Iterable[File]:
    """With settings of the inventory in it, and then with what asks kube-scheduler about them before."""
    content = dump(laid_over(_config(), ctx.host.kube_scheduler))
    if ctx.host.kube_scheduler:
        kubeconfig = credential(USER, "kubeconfig")
        name = "scheduler/kprov-judge-scheduler.sh.j2"
        yield File(
            path=JUDGE, content=render(ctx.cluster.templates_dir, name, bin=BIN, kubeconfig=kubeconfig), mode=0o755
        )
    yield File(path=CONFIG, content=content, mode=0o600, check=(JUDGE, FILE) if ctx.host.kube_scheduler else ())


def _config() -> dict[str, Any]:
    return {
        "apiVersion": "kubescheduler.config.k8s.io/v1",
        "kind": "KubeSchedulerConfiguration",
        "clientConnection": {"kubeconfig": credential(USER, "kubeconfig")},
        "leaderElection": {"leaderElect": True},
        "enableProfiling": False,  # the flag alone is ignored beside a configuration file
    }


def _unit(ctx: Context) -> Unit:
    words = arguments(_flags(), ctx.host.extra_args.get("kube-scheduler", {}))
    return Unit(
        name=_RECORD.unit,
        content=render(
            ctx.cluster.templates_dir,
            "scheduler/kube-scheduler.service.j2",
            bin=BIN,
            user=USER,
            credentials=CREDENTIALS,
            arguments=words,
        ),
        reads=frozenset({f"{BIN}/{USER}", CA, FRONT_PROXY_CA, *CREDENTIALS.values()}),
        reloads=_RECORD.read_again,
        check=parsing(f"{BIN}/{USER}", words),
        gates=(Gate(kind="command", argument=raw_query("/readyz", PORT, _CLIENT)),),
    )


def _flags() -> dict[str, str]:
    kubeconfig = credential(USER, "kubeconfig")
    return {
        "config": credential(USER, "config.yaml"),
        "authentication-kubeconfig": kubeconfig,
        "authorization-kubeconfig": kubeconfig,
        "bind-address": "127.0.0.1",
        "secure-port": str(PORT),
        "tls-cert-file": f"{_SERVING}.crt",
        "tls-private-key-file": f"{_SERVING}.key",
        "tls-min-version": "VersionTLS12",
        "tls-cipher-suites": ",".join(CIPHER_SUITES),
        "client-ca-file": CA,
        "requestheader-client-ca-file": FRONT_PROXY_CA,
        "requestheader-allowed-names": "front-proxy-client",
        "leader-elect": "true",
        "profiling": "false",
    }
