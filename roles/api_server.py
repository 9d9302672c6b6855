"""kube-apiserver on a control plane host, with kubectl for its health gate. Needs etcd to answer, not to be local."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from kprov.roles import api_policies
from kprov.roles.documents import Values, arguments, dump, each, parsing
from kprov.roles.etcd import client_urls
from kprov.roles.layout import (
    API_PORT,
    CA,
    CIPHER_SUITES,
    ETCD_CA,
    FRONT_PROXY_CA,
    KUBERNETES,
    SERVICE_ACCOUNT_KEY,
    SERVICE_ACCOUNT_PUBLIC,
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
from kprov.values.resources import Directory, File, Gate, Resource, Unit, User

USER = "kube-apiserver"
FOLDER = f"{KUBERNETES}/{USER}"
ENCRYPTION = f"{FOLDER}/encryption.yaml"
AUDIT_LOGS = "/var/log/kubernetes/audit"
# Read once at start, so that root may keep them; systemd hands copies to the process.
CREDENTIALS = {
    "sa.key": SERVICE_ACCOUNT_KEY,
    "admission.yaml": f"{KUBERNETES}/admission.yaml",
    "audit-policy.yaml": f"{KUBERNETES}/audit-policy.yaml",
    "authentication.yaml": f"{KUBERNETES}/authentication.yaml",
}
_ISSUER = "service-account-issuer"
_RECORD = components.KUBE_APISERVER
_SERVING = _RECORD.leaf("kube-apiserver")
_KUBELET_CLIENT = _RECORD.leaf("kube-apiserver-kubelet-client")
_ETCD_CLIENT = _RECORD.leaf("kube-apiserver-etcd-client")
_FRONT_PROXY = _RECORD.leaf("front-proxy-client")


def resources(ctx: Context) -> Iterable[Resource]:
    if not ctx.host.in_group("control_plane"):
        return
    yield User(name=USER)
    yield component_folder(USER)
    yield Directory(path=AUDIT_LOGS, owner=USER, group=USER, mode=0o700, purge=True)
    yield from _files(ctx)
    yield from certificates(ctx, _RECORD, owner=USER)
    yield from (program(ctx, name) for name in (USER, "kubectl"))
    yield _unit(ctx)


def _files(ctx: Context) -> Iterable[File]:
    yield ca_file(ctx)
    yield File(path=FRONT_PROXY_CA, content=ctx.trust.bundle["front-proxy"])
    yield File(path=ETCD_CA, content=ctx.trust.bundle["etcd"])
    yield File(path=SERVICE_ACCOUNT_PUBLIC, content=ctx.trust.service_account_public)
    yield service_account_key(ctx)
    for name, document in (
        ("admission.yaml", api_policies.admission()),
        ("audit-policy.yaml", api_policies.audit_policy()),
        ("authentication.yaml", api_policies.authentication()),
    ):
        yield File(path=CREDENTIALS[name], content=dump(document), mode=0o600)
    encryption = dump(api_policies.encryption(ctx.trust.encryption_key))
    yield File(path=ENCRYPTION, content=encryption, owner=USER, group=USER, mode=0o600, secret=True)


def service_account_key(ctx: Context) -> File:
    return File(path=SERVICE_ACCOUNT_KEY, content=ctx.trust.service_account_key, mode=0o600, secret=True)


def _unit(ctx: Context) -> Unit:
    own: dict[str, Values] = {**_cluster_flags(ctx), **_access_flags(ctx), **_certificate_flags(), **_policy_flags()}
    words = arguments(own, _more_issuers(own, ctx.host.extra_args.get("kube-apiserver", {})))
    return Unit(
        name=_RECORD.unit,
        content=render(
            ctx.cluster.templates_dir,
            "api_server/kube-apiserver.service.j2",
            bin=BIN,
            user=USER,
            credentials=CREDENTIALS,
            write_paths=[AUDIT_LOGS],
            arguments=words,
        ),
        reads=frozenset({f"{BIN}/{USER}", CA, ETCD_CA, FRONT_PROXY_CA, SERVICE_ACCOUNT_PUBLIC, *CREDENTIALS.values()}),
        reloads=_RECORD.read_again | {ENCRYPTION},
        check=parsing(f"{BIN}/{USER}", words),
        gates=(Gate(kind="command", argument=raw_query("/readyz", API_PORT, _KUBELET_CLIENT), deadline=120),),
    )


def _more_issuers(own: Mapping[str, Values], given: Mapping[str, Values]) -> Mapping[str, Values]:
    """The user's flags, with kprov's issuer before theirs: it signs, and every token of every pod names it."""
    if _ISSUER not in given:
        return given
    issuers = dict.fromkeys((*each(own[_ISSUER]), *each(given[_ISSUER])))
    return {**given, _ISSUER: tuple(issuers)}


def _cluster_flags(ctx: Context) -> dict[str, str]:
    several = len(ctx.cluster.group("control_plane")) > 1
    return {
        "advertise-address": ctx.node_ip,
        "bind-address": "0.0.0.0",  # noqa: S104 - an API server is there to be reached
        "secure-port": str(API_PORT),
        "etcd-servers": ",".join(client_urls(ctx.cluster, ctx.facts)),
        "service-cluster-ip-range": str(ctx.cluster.service_cidr),
        "allow-privileged": "true",
        "endpoint-reconciler-type": "lease",
        "kubelet-preferred-address-types": "InternalIP,ExternalIP,Hostname",
        "request-timeout": "300s",
        # Leave in order: say "not ready", let proxies see it, then close what is idle or watching.
        "shutdown-delay-duration": "5s",
        "shutdown-send-retry-after": "true",
        "shutdown-watch-termination-grace-period": "10s",
        **({"goaway-chance": "0.001"} if several else {}),  # connections spread again after one server was away
    }


def _access_flags(ctx: Context) -> dict[str, str]:
    return {
        "authentication-config": credential(USER, "authentication.yaml"),
        "authorization-mode": "Node,RBAC",
        "enable-bootstrap-token-auth": "false",
        "client-ca-file": CA,
        "requestheader-client-ca-file": FRONT_PROXY_CA,
        "requestheader-allowed-names": "front-proxy-client",
        "requestheader-extra-headers-prefix": "X-Remote-Extra-",
        "requestheader-group-headers": "X-Remote-Group",
        "requestheader-username-headers": "X-Remote-User",
        _ISSUER: f"https://kubernetes.default.svc.{ctx.cluster.domain}",
        "service-account-key-file": SERVICE_ACCOUNT_PUBLIC,
        "service-account-signing-key-file": credential(USER, "sa.key"),
        "service-account-lookup": "true",
        "service-account-extend-token-expiration": "false",
    }


def _certificate_flags() -> dict[str, str]:
    return {
        "tls-cert-file": f"{_SERVING}.crt",
        "tls-private-key-file": f"{_SERVING}.key",
        "tls-min-version": "VersionTLS12",
        "tls-cipher-suites": ",".join(CIPHER_SUITES),
        "etcd-cafile": ETCD_CA,
        "etcd-certfile": f"{_ETCD_CLIENT}.crt",
        "etcd-keyfile": f"{_ETCD_CLIENT}.key",
        "kubelet-certificate-authority": CA,
        "kubelet-client-certificate": f"{_KUBELET_CLIENT}.crt",
        "kubelet-client-key": f"{_KUBELET_CLIENT}.key",
        "proxy-client-cert-file": f"{_FRONT_PROXY}.crt",
        "proxy-client-key-file": f"{_FRONT_PROXY}.key",
    }


def _policy_flags() -> dict[str, str]:
    return {
        "enable-admission-plugins": "NodeRestriction,DenyServiceExternalIPs,EventRateLimit",
        "admission-control-config-file": credential(USER, "admission.yaml"),
        "audit-policy-file": credential(USER, "audit-policy.yaml"),
        "audit-log-path": f"{AUDIT_LOGS}/audit.log",
        "audit-log-maxage": "30",
        "audit-log-maxbackup": "10",
        "audit-log-maxsize": "100",
        "encryption-provider-config": ENCRYPTION,
        "encryption-provider-config-automatic-reload": "true",
        "profiling": "false",
    }
