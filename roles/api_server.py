"""kube-apiserver on a control plane host, with kubectl for its health gate. Needs etcd to answer, not to be local."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from kprov.roles import api_policies, encryption
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
from kprov.values.api_settings import ApiSettings
from kprov.values.context import Context
from kprov.values.paths import API_SERVER_FOLDER, BIN, SERVICE_ACCOUNT_PUBLIC
from kprov.values.resources import FILE, Check, Directory, File, Gate, Resource, Unit, User

USER = "kube-apiserver"
FOLDER = API_SERVER_FOLDER
# Read again by the API server itself when they change.
ENCRYPTION = f"{FOLDER}/encryption.yaml"
AUTHENTICATION = f"{FOLDER}/authentication.yaml"
AUTHORIZATION = f"{FOLDER}/authorization.yaml"
JUDGE = f"{BIN}/kprov-judge-kube-apiserver"
AUDIT_LOGS = "/var/log/kubernetes/audit"
# Read once at start, so that root may keep them; systemd hands copies to the process.
CREDENTIALS = {
    "sa.key": SERVICE_ACCOUNT_KEY,
    "admission.yaml": f"{KUBERNETES}/admission.yaml",
    "audit-policy.yaml": f"{KUBERNETES}/audit-policy.yaml",
}
_ISSUER, _AUDIENCES = "service-account-issuer", "api-audiences"
_AUDIT_LOG = {"maxage": "30", "maxbackup": "10", "maxsize": "100"}
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
    if root_ca(ctx) != CA:
        yield root_ca_file(ctx)  # here and not later: haproxy on this host is told of it while other stages still wait
    yield File(path=FRONT_PROXY_CA, content=ctx.trust.bundle["front-proxy"])
    yield File(path=ETCD_CA, content=ctx.trust.bundle["etcd"])
    yield File(path=SERVICE_ACCOUNT_PUBLIC, content=ctx.trust.service_account_public)
    yield service_account_key(ctx)
    yield from _policies(ctx)


def _policies(ctx: Context) -> Iterable[File]:
    """What is given, and kprov's own: kubeconfigs before the files that name them."""
    api = ctx.cluster.api
    if api.authentication or api.authorizers or api.audit.policy or ctx.host.extra_args.get(USER):
        yield File(
            path=JUDGE,
            content=render(
                ctx.cluster.templates_dir,
                "api_server/kprov-judge-api-config.sh.j2",
                bin=BIN,
                key=SERVICE_ACCOUNT_KEY,
                public=SERVICE_ACCOUNT_PUBLIC,
                issuer=_issuer(ctx),
            ),
            mode=0o755,
        )
    for file in api.files:
        yield _private(f"{FOLDER}/{file.name}", file.content.reveal().encode(), secret=True)
    yield File(path=CREDENTIALS["admission.yaml"], content=dump(api_policies.admission(api.admission)), mode=0o600)
    policy, asked = api_policies.audit_policy(api.audit.policy), api.audit.policy
    yield File(
        path=CREDENTIALS["audit-policy.yaml"],
        content=dump(policy),
        mode=0o600,
        check=_judged("audit-policy-file") if asked else (),
    )
    asked = api.authentication
    yield _private(
        AUTHENTICATION,
        dump(api_policies.authentication(asked)),
        check=_judged("authentication-config") if asked else (),
    )
    if api.authorizers:
        document = dump(api_policies.authorization(api.authorizers))
        yield _private(AUTHORIZATION, document, check=_judged("authorization-config"))
    yield _private(ENCRYPTION, dump(encryption.settled(api.encryption, ctx.trust.encryption_keys)), secret=True)


def _private(path: str, content: bytes, *, secret: bool = False, check: Check = ()) -> File:
    """A file that the API server's own process reads, and nobody else but root."""
    return File(path=path, content=content, owner=USER, group=USER, mode=0o600, secret=secret, check=check)


def _judged(flag: str) -> Check:
    """How the API server's own code is asked about a file that this flag names, before it gets its name."""
    return (JUDGE, flag, FILE)


def service_account_key(ctx: Context) -> File:
    return File(path=SERVICE_ACCOUNT_KEY, content=ctx.trust.service_account_key, mode=0o600, secret=True)


def _unit(ctx: Context) -> Unit:
    own: dict[str, Values] = {
        **_cluster_flags(ctx),
        **_access_flags(ctx),
        **_certificate_flags(),
        **_policy_flags(ctx.cluster.api),
    }
    at_start = {f"{FOLDER}/{file.name}" for file in ctx.cluster.api.files if file.at_start}
    given = _beside_own(own, ctx.host.extra_args.get(USER, {}))
    words = arguments(own, given)
    return Unit(
        name=_RECORD.unit,
        content=render(
            ctx.cluster.templates_dir,
            "api_server/kube-apiserver.service.j2",
            bin=BIN,
            user=USER,
            credentials=CREDENTIALS,
            write_paths=[AUDIT_LOGS],
            anonymous=ctx.cluster.api.authentication.get("anonymous"),
            arguments=words,
        ),
        reads=frozenset(
            {f"{BIN}/{USER}", CA, ETCD_CA, FRONT_PROXY_CA, SERVICE_ACCOUNT_PUBLIC, *CREDENTIALS.values(), *at_start}
        ),
        reloads=_RECORD.read_again
        | {ENCRYPTION, AUTHENTICATION, *((AUTHORIZATION,) if ctx.cluster.api.authorizers else ())},
        check=(JUDGE, "flags", *arguments({}, given)) if given else parsing(f"{BIN}/{USER}", words),
        gates=(Gate(kind="command", argument=raw_query("/readyz", API_PORT, _KUBELET_CLIENT), deadline=120),),
    )


def _beside_own(own: Mapping[str, Values], given: Mapping[str, Values]) -> Mapping[str, Values]:
    """The user's flags, with kprov's issuer before theirs: it signs, and every token of every pod names it, as the one
    it comes from and as the one it is for."""
    issuers = each(own[_ISSUER])
    beside: dict[str, Values] = {}
    if _ISSUER in given:
        beside[_ISSUER] = tuple(dict.fromkeys((*issuers, *each(given[_ISSUER]))))
    if _AUDIENCES in given:  # without it, those of all issuers
        others = (part.strip() for value in each(given[_AUDIENCES]) for part in value.split(","))
        beside[_AUDIENCES] = ",".join(dict.fromkeys((*issuers, *others)))
    return {**given, **beside}


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
    authorizers = ctx.cluster.api.authorizers
    return {
        "authentication-config": AUTHENTICATION,
        **({"authorization-config": AUTHORIZATION} if authorizers else {"authorization-mode": "Node,RBAC"}),
        "enable-bootstrap-token-auth": "false",
        "client-ca-file": CA,
        "requestheader-client-ca-file": FRONT_PROXY_CA,
        "requestheader-allowed-names": "front-proxy-client",
        "requestheader-extra-headers-prefix": "X-Remote-Extra-",
        "requestheader-group-headers": "X-Remote-Group",
        "requestheader-username-headers": "X-Remote-User",
        _ISSUER: _issuer(ctx),
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


def _issuer(ctx: Context) -> str:
    return f"https://kubernetes.default.svc.{ctx.cluster.domain}"


def _policy_flags(api: ApiSettings) -> dict[str, str]:
    off = {"disable-admission-plugins": ",".join(api.admission.disable)} if api.admission.disable else {}
    return {
        "enable-admission-plugins": ",".join(api_policies.enabled_plugins(api.admission)),
        **off,
        "admission-control-config-file": credential(USER, "admission.yaml"),
        "audit-policy-file": credential(USER, "audit-policy.yaml"),
        "audit-log-path": f"{AUDIT_LOGS}/audit.log",
        **{f"audit-log-{name}": value for name, value in {**_AUDIT_LOG, **api.audit.log}.items()},
        **({"audit-webhook-config-file": f"{FOLDER}/{api.audit.config}"} if api.audit.config else {}),
        **{f"audit-webhook-{name}": value for name, value in api.audit.webhook.items()},
        "encryption-provider-config": ENCRYPTION,
        "encryption-provider-config-automatic-reload": "true",
        "profiling": "false",
    }
