"""The components that kprov runs on hosts, one record each, in the order they start.

Everything about one daemon that more than its own role must know is a field here, so that nobody else keeps a list:
status, ports, `down`, flags, downloads, logs, metrics, certificates and the probe read these records.
"""

from __future__ import annotations

from kprov.values.component import (
    ACTIVE,
    ALL_HOSTS,
    CONTROL_PLANE,
    ETCD_HOSTS,
    NODES,
    Component,
    Health,
    Leaf,
    Metrics,
    Port,
)
from kprov.values.taken_flags import TAKEN

POLICY_READER = "kprov:policies"  # the user that reads pods, namespaces and policies, and nothing else
KUBELET_API_ADMINS = "kprov:kubelet-api-admins"  # bound to ClusterRole system:kubelet-api-admin
_KUBELETS = ("system:nodes",)  # the group the Node authorizer knows
_PKI = "/etc/kubernetes/pki"
_OF_API_SERVER = "/etc/kubernetes/kube-apiserver"
_OF_CONTROLLERS = "/etc/kubernetes/kube-controller-manager"
_OF_SCHEDULER = "/etc/kubernetes/kube-scheduler"
_OF_ETCD = "/etc/etcd/pki"

ETCD = Component(
    name="etcd",
    groups=ETCD_HOSTS,
    program="etcd",
    release="etcd",
    ports=(
        Port(name="clients", number=2379, callers=CONTROL_PLANE),
        Port(name="peers", number=2380, callers=ETCD_HOSTS),
        Port(name="metrics", number=2381, loopback=True),
    ),
    health=Health(kind="http", argument="2381 /readyz"),
    leaves=(
        Leaf(name="etcd-server", path=f"{_OF_ETCD}/server", authority="etcd", cn="{host}", usage="both", names="etcd"),
        Leaf(name="etcd-peer", path=f"{_OF_ETCD}/peer", authority="etcd", cn="{host}", usage="both", names="etcd"),
        Leaf(
            name="etcd-healthcheck-client",
            path=f"{_OF_ETCD}/healthcheck-client",
            authority="etcd",
            cn="kube-etcd-healthcheck-client",
            usage="client",
        ),
    ),
    flags=TAKEN["etcd"],
    stops=80,
    metrics=Metrics(name="etcd", port="metrics"),
    version_decides=True,
)
KUBE_APISERVER = Component(
    name="kube-apiserver",
    groups=CONTROL_PLANE,
    program="kube-apiserver",
    release="kubernetes",
    ports=(Port(name="https", number=6443, callers=NODES),),
    health=Health(kind="api", argument="/readyz"),
    leaves=(
        Leaf(
            name="kube-apiserver",
            path=f"{_OF_API_SERVER}/serving",
            cn="kube-apiserver",
            usage="server",
            names="api",
        ),
        Leaf(
            name="kube-apiserver-kubelet-client",
            path=f"{_OF_API_SERVER}/kubelet-client",
            cn="kube-apiserver-kubelet-client",
            o=(KUBELET_API_ADMINS,),
            usage="client",
        ),
        Leaf(
            name="kube-apiserver-etcd-client",
            path=f"{_OF_API_SERVER}/etcd-client",
            authority="etcd",
            cn="kube-apiserver-etcd-client",
            usage="client",
        ),
        Leaf(
            name="front-proxy-client",
            path=f"{_OF_API_SERVER}/front-proxy-client",
            authority="front-proxy",
            cn="front-proxy-client",
            usage="client",
        ),
    ),
    flags=TAKEN["kube-apiserver"],
    stops=70,
    version_decides=True,
)
KUBE_CONTROLLER_MANAGER = Component(
    name="kube-controller-manager",
    groups=CONTROL_PLANE,
    program="kube-controller-manager",
    release="kubernetes",
    ports=(Port(name="https", number=10257, loopback=True),),
    health=ACTIVE,  # its health endpoint asks for a client certificate
    leaves=(
        Leaf(
            name="kube-controller-manager",
            path=f"{_OF_CONTROLLERS}/client",
            cn="system:kube-controller-manager",
            usage="client",
        ),
        Leaf(
            name="kube-controller-manager-serving",
            path=f"{_OF_CONTROLLERS}/serving",
            cn="kube-controller-manager",
            usage="server",
            names="loopback",
        ),
    ),
    flags=TAKEN["kube-controller-manager"],
    stops=60,
    metrics=Metrics(name="kube-controller-manager", port="https", tls=True),
)
KUBE_SCHEDULER = Component(
    name="kube-scheduler",
    groups=CONTROL_PLANE,
    program="kube-scheduler",
    release="kubernetes",
    ports=(Port(name="https", number=10259, loopback=True),),
    health=ACTIVE,  # as of the controller manager
    leaves=(
        Leaf(name="kube-scheduler", path=f"{_OF_SCHEDULER}/client", cn="system:kube-scheduler", usage="client"),
        Leaf(
            name="kube-scheduler-serving",
            path=f"{_OF_SCHEDULER}/serving",
            cn="kube-scheduler",
            usage="server",
            names="loopback",
        ),
    ),
    flags=TAKEN["kube-scheduler"],
    stops=60,
    metrics=Metrics(name="kube-scheduler", port="https", tls=True),
)
CONTAINERD = Component(
    name="containerd",
    groups=NODES,
    runtime="containerd",
    program="containerd",
    release="containerd",
    ports=(Port(name="metrics", number=1338, loopback=True, addon="monitoring"),),
    health=Health(kind="cri", argument="/run/containerd/containerd.sock"),
    flags=TAKEN["containerd"],
    stops=40,
    metrics=Metrics(name="containerd", port="metrics", path="/v1/metrics"),
)
CRIO = Component(
    name="crio",
    groups=NODES,
    runtime="crio",
    program="crio",
    release="crio",
    health=Health(kind="command", argument="crictl --runtime-endpoint unix:///run/crio/crio.sock version"),
    flags=TAKEN["crio"],
    stops=40,
)
DOCKERD_CONTAINERD = Component(
    name="dockerd-containerd",
    groups=NODES,
    runtime="docker",
    program="containerd",
    release="containerd",
    health=ACTIVE,
    stops=40,
)
DOCKERD = Component(
    name="dockerd",
    groups=NODES,
    runtime="docker",
    program="dockerd",
    release="docker",
    health=Health(kind="socket", argument="/run/docker.sock http://docker/_ping"),
    flags=TAKEN["dockerd"],
    stops=40,
)
CRI_DOCKERD = Component(
    name="cri-dockerd",
    groups=NODES,
    runtime="docker",
    program="cri-dockerd",
    release="cri-dockerd",
    health=ACTIVE,
    flags=TAKEN["cri-dockerd"],
    stops=40,
)
API_PROXY = Component(
    name="kube-api-proxy",
    groups=NODES,
    when=lambda cluster: cluster.api_endpoint is None,
    process="haproxy",
    ports=(Port(name="api", number=6444, loopback=True),),
    health=ACTIVE,
    stops=50,
)
NETWORK = Component(
    name="kprov-network",
    groups=NODES,
    when=lambda cluster: cluster.network.built_in,
    health=ACTIVE,
    stops=50,
)
POLICIES = Component(
    name="kprov-policies",
    groups=NODES,
    when=lambda cluster: cluster.network.enforces,
    process="python3",
    ports=(Port(name="health", number=10271, loopback=True),),
    health=Health(kind="http", argument="10271 /healthz"),
    leaves=(Leaf(name="policies", path=f"{_PKI}/policies", cn=POLICY_READER, usage="client"),),
    stops=50,
    metrics=Metrics(name="policies", port="health"),
)
NODE_DNS = Component(name="kprov-node-dns", groups=NODES, addon="node-local-dns", health=ACTIVE)
KUBELET = Component(
    name="kubelet",
    groups=NODES,
    program="kubelet",
    release="kubernetes",
    ports=(
        Port(name="https", number=10250, callers=CONTROL_PLANE),
        Port(name="health", number=10248, loopback=True),
    ),
    health=Health(kind="http", argument="10248 /healthz"),
    leaves=(
        Leaf(
            name="kubelet-client",
            path=f"{_PKI}/kubelet-client",
            cn="system:node:{host}",
            o=_KUBELETS,
            usage="client",
        ),
        Leaf(
            name="kubelet-serving",
            path=f"{_PKI}/kubelet",
            cn="system:node:{host}",
            o=_KUBELETS,
            usage="server",
            names="host",
        ),
    ),
    flags=TAKEN["kubelet"],
    stops=0,
    version_decides=True,
)
KUBE_PROXY = Component(
    name="kube-proxy",
    groups=NODES,
    program="kube-proxy",
    release="kubernetes",
    ports=(Port(name="health", number=10256), Port(name="metrics", number=10249, loopback=True)),
    health=Health(kind="http", argument="10256 /healthz"),
    leaves=(Leaf(name="kube-proxy", path=f"{_PKI}/kube-proxy", cn="system:kube-proxy", usage="client"),),
    flags=TAKEN["kube-proxy"],
    stops=2,
    metrics=Metrics(name="kube-proxy", port="metrics"),
)
SERVICE_RULES = Component(name="kprov-service-rules", groups=NODES, health=ACTIVE, stops=1)
TIMED_BACKUP = Component(
    name="kprov-backup",
    groups=ETCD_HOSTS,
    when=lambda cluster: cluster.backup.every > 0,
    release="age",
    health=Health(kind="command", argument="kprov-backup health"),
)
JOURNAL = Component(name="kprov-journal", groups=ALL_HOSTS, addon="logging", health=ACTIVE)
LOGS = Component(name="kprov-logs", groups=ALL_HOSTS, addon="logging", program="vlagent", health=ACTIVE)
NODE_EXPORTER = Component(
    name="kprov-node-exporter",
    groups=ALL_HOSTS,
    addon="monitoring",
    program="node-exporter",
    ports=(Port(name="metrics", number=19100, loopback=True),),
    health=Health(kind="http", argument="19100 /"),
    metrics=Metrics(name="node", port="metrics"),
)
METRICS_PROXY = Component(
    name="kprov-metrics-proxy",
    groups=ALL_HOSTS,
    addon="monitoring",
    process="haproxy",
    ports=(Port(name="https", number=10270),),
    health=ACTIVE,
    leaves=(
        Leaf(
            name="metrics-proxy",
            path=f"{_PKI}/metrics-proxy",
            cn="kprov-metrics-proxy",
            usage="server",
            names="host",
            restarts=True,
        ),
    ),
)

COMPONENTS: tuple[Component, ...] = (
    *(ETCD, KUBE_APISERVER, KUBE_CONTROLLER_MANAGER, KUBE_SCHEDULER),
    *(CONTAINERD, CRIO, DOCKERD_CONTAINERD, DOCKERD, CRI_DOCKERD),
    *(API_PROXY, NETWORK, NODE_DNS, POLICIES, KUBELET, KUBE_PROXY, SERVICE_RULES),
    TIMED_BACKUP,
    *(JOURNAL, LOGS, NODE_EXPORTER, METRICS_PROXY),
)
BY_NAME = {component.name: component for component in COMPONENTS}
BY_UNIT = {component.unit: component for component in COMPONENTS}
