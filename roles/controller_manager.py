"""kube-controller-manager on a control plane host; it talks to the API server of its own host. It holds no CA key."""

from __future__ import annotations

from collections.abc import Iterable

from kprov.pki.kubeconfig import referencing
from kprov.roles.api_server import service_account_key
from kprov.roles.documents import arguments, parsing
from kprov.roles.layout import (
    CA,
    CIPHER_SUITES,
    FRONT_PROXY_CA,
    KUBERNETES,
    LOCAL_API,
    SERVICE_ACCOUNT_KEY,
    ca_file,
    certificates,
    component_folder,
    credential,
    program,
    raw_query,
    root_ca,
    root_ca_file,
)
from kprov.roles.templating import render
from kprov.values import components
from kprov.values.context import Context
from kprov.values.paths import BIN
from kprov.values.resources import Directory, File, Gate, Resource, Unit, User

USER = "kube-controller-manager"
_RECORD = components.KUBE_CONTROLLER_MANAGER
PORT = _RECORD.port("https")
FOLDER = f"{KUBERNETES}/{USER}"
KUBECONFIG = f"{KUBERNETES}/controller-manager.conf"
JUDGE = f"{BIN}/kprov-judge-kube-controller-manager"
VOLUME_PLUGINS = f"{FOLDER}/volume-plugins"  # looked into at start; the default is a folder of the distribution's
CREDENTIALS = {"kubeconfig": KUBECONFIG, "sa.key": SERVICE_ACCOUNT_KEY}
_CLIENT, _SERVING = _RECORD.leaf("kube-controller-manager"), _RECORD.leaf("kube-controller-manager-serving")
# kprov issues kubelets' certificates itself: without a CA key on the host nobody could sign what these approve.
_OFF = ("certificatesigningrequest-signing-controller", "certificatesigningrequest-approving-controller")


def resources(ctx: Context) -> Iterable[Resource]:
    if not ctx.host.in_group("control_plane"):
        return
    kubeconfig = referencing(LOCAL_API, CA, f"{_CLIENT}.crt", f"{_CLIENT}.key", "system:" + USER)
    yield User(name=USER)
    yield component_folder(USER)
    yield Directory(path=VOLUME_PLUGINS)
    yield ca_file(ctx)
    if root_ca(ctx) != CA:
        yield root_ca_file(ctx)
    yield File(path=FRONT_PROXY_CA, content=ctx.trust.bundle["front-proxy"])
    yield service_account_key(ctx)
    yield File(path=KUBECONFIG, content=kubeconfig.encode(), mode=0o600)
    if ctx.host.extra_args.get(USER):
        content = render(ctx.cluster.templates_dir, "controller_manager/kprov-judge-controller-manager.sh.j2", bin=BIN)
        yield File(path=JUDGE, content=content, mode=0o755)
    yield from certificates(ctx, _RECORD, owner=USER)
    yield from (program(ctx, name) for name in (USER, "kubectl"))
    yield _unit(ctx)


def _unit(ctx: Context) -> Unit:
    given = ctx.host.extra_args.get(USER, {})
    words = arguments(_flags(ctx), given)
    return Unit(
        name=_RECORD.unit,
        content=render(
            ctx.cluster.templates_dir,
            "controller_manager/kube-controller-manager.service.j2",
            bin=BIN,
            user=USER,
            credentials=CREDENTIALS,
            arguments=words,
        ),
        reads=frozenset({f"{BIN}/{USER}", CA, root_ca(ctx), FRONT_PROXY_CA, *CREDENTIALS.values()}),
        reloads=_RECORD.read_again,
        check=(JUDGE, *arguments({}, given)) if given else parsing(f"{BIN}/{USER}", words),
        gates=(Gate(kind="command", argument=raw_query("/healthz", PORT, _CLIENT)),),
    )


def _flags(ctx: Context) -> dict[str, str]:
    kubeconfig = credential(USER, "kubeconfig")
    return {
        "kubeconfig": kubeconfig,
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
        "root-ca-file": root_ca(ctx),
        "service-account-private-key-file": credential(USER, "sa.key"),
        "use-service-account-credentials": "true",
        **({"cloud-provider": "external"} if ctx.cluster.cloud is not None else {}),
        "controllers": ",".join(["*", *(f"-{name}" for name in _OFF)]),
        "allocate-node-cidrs": "false",  # each host's pod network is assigned by kprov and kept
        "flex-volume-plugin-dir": VOLUME_PLUGINS,
        "leader-elect": "true",
        "terminated-pod-gc-threshold": "100",
        "profiling": "false",
    }
