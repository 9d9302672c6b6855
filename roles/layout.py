"""Where things live on a host and how its processes reach each other: names that several roles share, no resources.

Public certificates are in /etc/kubernetes/pki, root's (CIS 1.1.19). What a process without root must read, and read
again when it is renewed, is in a folder of its own that belongs to root and is open to its group only.
"""

from __future__ import annotations

from kprov.pki.table import leaf_specs
from kprov.values import components
from kprov.values.component import Component
from kprov.values.context import Context
from kprov.values.model import Cluster, Facts, Host, NetworkSettings
from kprov.values.paths import BIN
from kprov.values.resources import Binary, Certificate, Directory, File

KUBERNETES = "/etc/kubernetes"
PKI = "/etc/kubernetes/pki"
CA = "/etc/kubernetes/pki/ca.crt"
ROOT_CA = "/etc/kubernetes/pki/root-ca.crt"  # for what must see a root, where CA is none: with what is above it
FRONT_PROXY_CA = "/etc/kubernetes/pki/front-proxy-ca.crt"
ETCD_CA = "/etc/kubernetes/pki/etcd-ca.crt"  # the API server's copy: /etc/etcd/pki is closed to all but etcd
SERVICE_ACCOUNT_KEY = "/etc/kubernetes/pki/sa.key"

API_PORT = components.KUBE_APISERVER.port("https")
PROXY_PORT = components.API_PROXY.port("api")
LOCAL_API = f"https://127.0.0.1:{API_PORT}"
CNI_BIN = "/opt/cni/bin"
CNI_CONF = "/etc/kprov/cni/net.d"  # of the built-in network: what others put into theirs never comes before it
SHARED_CNI_CONF = "/etc/cni/net.d"  # where networks that are not built in, and other software, write theirs

# CIS 1.2.29: what TLS 1.2 may use; TLS 1.3's suites are not configurable. Go's names.
CIPHER_SUITES: tuple[str, ...] = (
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
)


def api_server_url(cluster: Cluster) -> str:
    """Where kubelet and kube-proxy find the API: the local proxy, or the inventory's load balancer."""
    return f"https://127.0.0.1:{PROXY_PORT}" if cluster.api_endpoint is None else f"https://{cluster.api_endpoint}"


def cni_cache(host: Host) -> str:
    """Return where libcni keeps what it gave to whom: cri-dockerd has a folder of its own, others libcni's."""
    return "/var/lib/cni/cache" if host.runtime == "docker" else "/var/lib/cni"


def cni_conf(network: NetworkSettings) -> str:
    """The folder whose first file is the pod network: runtimes take it by name, whoever wrote it."""
    return CNI_CONF if network.built_in else SHARED_CNI_CONF


def kube_proxy_mode(cluster: Cluster, facts: Facts) -> str:
    """`nftables` where kernel (5.13) and nft (1.0) allow it and the inventory leaves the choice, else `iptables`."""
    return firewall(facts) if cluster.kube_proxy_mode == "auto" else cluster.kube_proxy_mode


def firewall(facts: Facts) -> str:
    """What a host can do best, `nftables` or `iptables`."""
    return "nftables" if facts.kernel >= (5, 13) and facts.nft is not None and facts.nft >= (1, 0) else "iptables"


def component_folder(user: str) -> Directory:
    """/etc/kubernetes/USER: certificates and keys that only this component's process reads."""
    return Directory(path=f"{KUBERNETES}/{user}", group=user, mode=0o750)


def credential(unit: str, name: str) -> str:
    """Where systemd puts a LoadCredential= of a unit (systemd.exec(5)), for programs that take no variable."""
    return f"/run/credentials/{unit}.service/{name}"


def program(ctx: Context, name: str) -> Binary:
    return Binary(path=f"{BIN}/{name}", artifact=ctx.artifact(name))


def ca_file(ctx: Context) -> File:
    return File(path=CA, content=ctx.trust.bundle["kubernetes"])


def root_ca(ctx: Context) -> str:
    """The file for what must see a root, such as pods and OpenSSL: the CA alone, or with those above it."""
    return ROOT_CA if ctx.trust.roots.get("kubernetes") else CA


def root_ca_file(ctx: Context) -> File:
    return File(path=root_ca(ctx), content=ctx.trust.given_out("kubernetes"))


def certificates(ctx: Context, component: Component, owner: str = "root") -> tuple[Certificate, ...]:
    """The leaves of a component, both files of each owned by `owner`."""
    specs = leaf_specs(ctx.cluster, ctx.host, ctx.facts)
    return tuple(
        Certificate(path=leaf.paths[0], key_path=leaf.paths[1], spec=specs[leaf.name], owner=owner, group=owner)
        for leaf in component.leaves
    )


def raw_query(path: str, port: int, client: str) -> str:
    """The gate command that asks a local HTTPS health endpoint with the client certificate at `client` (no suffix).

    An empty kubeconfig is named, or kubectl would look for one and ask for a password.
    """
    return (
        f"{BIN}/kubectl --kubeconfig=/dev/null --server=https://127.0.0.1:{port} --certificate-authority={CA}"
        f" --client-certificate={client}.crt --client-key={client}.key get --raw={path}"
    )
