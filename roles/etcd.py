"""An etcd member: user, PKI, data folder, unit. Membership is decided elsewhere: nothing here depends on who is in it.

The unit starts with what its data folder says. For a first start, the join conversation writes the member list into
/etc/etcd/join.env, which is laid over the flags (a repeated flag's last value wins).
"""

from __future__ import annotations

from collections.abc import Iterable

from kprov.roles.documents import arguments, parsing
from kprov.roles.layout import CIPHER_SUITES, certificates, program
from kprov.roles.templating import render
from kprov.values import components
from kprov.values.addresses import hostport
from kprov.values.context import Context
from kprov.values.model import Cluster, ClusterFacts, Host
from kprov.values.paths import BIN
from kprov.values.resources import Directory, File, Gate, Resource, Unit, User

DATA = "/var/lib/etcd"
JUDGE = f"{BIN}/kprov-judge-etcd"
PKI = "/etc/etcd/pki"
QUOTA_BYTES = 8 << 30  # that the database may take where the inventory says nothing
JOIN_FILE = "/etc/etcd/join.env"  # ETCD_JOIN=--initial-cluster=… --initial-cluster-state=… --initial-cluster-token=…
_RECORD = components.ETCD
CLIENT_PORT = _RECORD.port("clients")
PEER_PORT = _RECORD.port("peers")
_SERVER, _PEER, _CHECK = (_RECORD.leaf(f"etcd-{name}") for name in ("server", "peer", "healthcheck-client"))


def member_name(host: Host) -> str:
    return host.name


def peer_url(host: Host, facts: ClusterFacts) -> str:
    return f"https://{hostport(facts.node_ip(host), PEER_PORT)}"


def client_url(host: Host, facts: ClusterFacts) -> str:
    return f"https://{hostport(facts.node_ip(host), CLIENT_PORT)}"


def client_urls(cluster: Cluster, facts: ClusterFacts) -> tuple[str, ...]:
    """What API servers dial: every host of the etcd group, in inventory order."""
    return tuple(client_url(host, facts) for host in cluster.group("etcd"))


def resources(ctx: Context) -> Iterable[Resource]:
    if not ctx.host.in_group("etcd"):
        return
    leaves = certificates(ctx, _RECORD, owner="etcd")
    yield User(name="etcd", home=DATA)
    yield Directory(path="/etc/etcd")
    yield Directory(path=PKI, owner="etcd", group="etcd", mode=0o700)
    yield Directory(path=DATA, owner="etcd", group="etcd", mode=0o700, purge=True)
    yield File(path=f"{PKI}/ca.crt", content=ctx.trust.bundle["etcd"], owner="etcd", group="etcd")
    yield from leaves
    yield from (program(ctx, name) for name in ("etcd", "etcdctl", "etcdutl"))
    if ctx.host.extra_args.get("etcd"):
        content = render(ctx.cluster.templates_dir, "etcd/kprov-judge-etcd.sh.j2", bin=BIN)
        yield File(path=JUDGE, content=content, mode=0o755)
    yield _unit(ctx)


def _unit(ctx: Context) -> Unit:
    given = ctx.host.extra_args.get("etcd", {})
    words = arguments(_flags(ctx), given)
    return Unit(
        name=_RECORD.unit,
        content=render(
            ctx.cluster.templates_dir,
            "etcd/etcd.service.j2",
            bin=BIN,
            data=DATA,
            join_file=JOIN_FILE,
            arguments=words,
        ),
        reads=frozenset({f"{BIN}/etcd", f"{PKI}/ca.crt"}),
        reloads=_RECORD.read_again,
        check=(JUDGE, *arguments({}, given)) if given else parsing(f"{BIN}/etcd", words),
        gates=(
            Gate(
                kind="command",
                argument=(  # a linearizable read: `endpoint health` also fails for an alarm
                    f"{BIN}/etcdctl --endpoints=https://127.0.0.1:{CLIENT_PORT} --cacert={PKI}/ca.crt"
                    f" --cert={_CHECK}.crt --key={_CHECK}.key get health"
                ),
                deadline=120,
            ),
        ),
    )


def _flags(ctx: Context) -> dict[str, str]:
    settings = ctx.cluster.etcd
    return {
        "name": member_name(ctx.host),
        "data-dir": DATA,
        "listen-client-urls": f"{client_url(ctx.host, ctx.facts)},https://127.0.0.1:{CLIENT_PORT}",
        "advertise-client-urls": client_url(ctx.host, ctx.facts),
        "listen-peer-urls": peer_url(ctx.host, ctx.facts),
        "initial-advertise-peer-urls": peer_url(ctx.host, ctx.facts),
        "initial-cluster-state": "existing",  # a wiped disk must not silently become a second cluster
        "cert-file": f"{_SERVER}.crt",
        "key-file": f"{_SERVER}.key",
        "client-cert-auth": "true",
        "trusted-ca-file": f"{PKI}/ca.crt",
        "peer-cert-file": f"{_PEER}.crt",
        "peer-key-file": f"{_PEER}.key",
        "peer-client-cert-auth": "true",
        "peer-trusted-ca-file": f"{PKI}/ca.crt",
        "tls-min-version": "TLS1.2",
        "cipher-suites": ",".join(CIPHER_SUITES),
        "listen-metrics-urls": f"http://127.0.0.1:{_RECORD.port('metrics')}",
        "quota-backend-bytes": str(settings.get("quota_bytes", QUOTA_BYTES)),
        "heartbeat-interval": str(settings.get("heartbeat_ms", 100)),
        "election-timeout": str(settings.get("election_ms", 1000)),
        "feature-gates": "InitialCorruptCheck=true,CompactHashCheck=true",  # names of 3.6 and later
        "watch-progress-notify-interval": "5s",  # API servers serve consistent reads from cache with it
    }
