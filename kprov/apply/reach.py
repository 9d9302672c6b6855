"""Whether pods of every node reach pods of every other one: what is sent for it, whatever the pod network is. Pure.

A pod on each node listens, and each of them connects to all others, from its own network: so packets take the way that
those of any pod take, through both hosts' firewalls. It runs CoreDNS's image, which every node has.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from kprov.apply import wire
from kprov.apply.batch import Batch
from kprov.objects.objects import Object
from kprov.plan.cluster import ClusterPlan
from kprov.plan.kube_answers import APPLYING
from kprov.roles.layout import API_PORT
from kprov.values.model import Cluster
from kprov.values.yaml_text import dump_all

PORT = 17853
STAGES = frozenset(
    {"host", "runtime", "both-ways", "routes", "one-way", "node", "network", "upgrade"}
)  # that may cut it
_SPACE = "kube-system"
_LABEL = "kprov.io/reach"
_SECONDS = 90  # that the pods get to run
_LISTENING = 15  # and, once they run, to listen: seconds on a node that is busy


def write_pods(batch: Batch, nodes: Sequence[str], image: str, generation: str, *, policed: bool) -> None:
    """Starts a pod on each node; sent to a control plane. policed: somebody's policies may take pods of their namespace."""
    opening = [_opening(generation)] if policed else []
    documents = dump_all([*opening, *(_pod(node, image, generation) for node in nodes)]).encode()
    applying = wire.Objects(payload=batch.attach(documents), again="|".join(APPLYING))
    batch.add("pods that ask each other", applying, changes=False)  # they go again


def is_policed(policies: Iterable[Mapping[str, int]]) -> bool:
    """Say whether there are policies where these pods run. policies: of each host that was asked, by namespace."""
    return any(_SPACE in each for each in policies)


def await_pods(batch: Batch, nodes: Sequence[str], generation: str) -> None:
    """Waits until they run, and tells their addresses."""
    label = f"{_LABEL}={generation}"
    addresses = wire.PodAddresses(namespace=_SPACE, label=label, pods=len(nodes), seconds=_SECONDS)
    batch.add("pods that ask each other: running on every node", addresses)


def image(plan: ClusterPlan) -> str:
    """Return the image of the cluster's DNS, empty where there is none."""
    for item in plan.desired_objects:
        if item["kind"] == "Deployment" and item["metadata"]["name"] == "coredns":
            return str(item["spec"]["template"]["spec"]["containers"][0]["image"])
    return ""


def addresses(told: str) -> dict[str, str]:
    """Return node → address of its pod, as a control plane told them."""
    pairs = (line.split() for line in told.splitlines())
    return {pair[0]: pair[1] for pair in pairs if len(pair) == 2}


def reach_batch(node: str, addresses: Mapping[str, str], todo: str) -> Batch:
    """Asks from the pod on `node` for those on all other nodes. todo: what leads out where one is out of reach."""
    batch = Batch()
    peers = tuple(f"{name}={address}" for name, address in addresses.items() if name != node)
    batch.add("pods of other nodes", wire.Reach(port=PORT, peers=peers, seconds=_LISTENING), todo=todo)
    return batch


def write_end(batch: Batch) -> None:
    """Takes the pods away, also what an earlier run left; sent to a control plane."""
    batch.add("pods that asked each other", wire.DeletePods(namespace=_SPACE, label=_LABEL))


def advice(cluster: Cluster) -> str:
    """Say what has to pass between nodes, for a firewall that stopped it."""
    ports = [f"TCP {API_PORT} (API), 2379 and 2380 (etcd), 10250 (kubelet)", *_network_ports(cluster)]
    return (
        f"let packets from and to {cluster.pod_cidr} be forwarded on every node, and open between the hosts: "
        f"{'; '.join(ports)}; then run the same command again, which asks again"
    )


def _network_ports(cluster: Cluster) -> Iterable[str]:
    if cluster.network.mode == "vxlan":
        yield f"UDP {cluster.network.port} (vxlan)"
    elif not cluster.network.built_in:
        yield f"what the manual of your pod network ({cluster.network.mode}) lists"


def _opening(generation: str) -> Object:
    """A policy that lets them ask each other: policies add up, and without another one there is no need of it."""
    themselves = {"matchExpressions": [{"key": _LABEL, "operator": "Exists"}]}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": f"kprov-reach-{generation}", "namespace": _SPACE, "labels": {_LABEL: generation}},
        "spec": {
            "podSelector": themselves,
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [{"from": [{"podSelector": themselves}]}],
            "egress": [{"to": [{"podSelector": themselves}]}],
        },
    }


def _pod(node: str, image: str, generation: str) -> Object:
    context = {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        # The program of upstream's image carries this capability, and does not start where it is out of reach.
        "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]},
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"kprov-reach-{node}-{generation}",
            "namespace": _SPACE,
            "labels": {_LABEL: generation},
        },
        "spec": {
            "nodeName": node,  # the scheduler is not asked
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "priorityClassName": "system-node-critical",
            "tolerations": [{"operator": "Exists"}],
            "dnsPolicy": "Default",
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 65532,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": "reach",
                    "image": image,
                    "imagePullPolicy": "IfNotPresent",
                    "args": [f"-dns.port={PORT}"],
                    "resources": {"requests": {"cpu": "1m", "memory": "16Mi"}, "limits": {"memory": "170Mi"}},
                    "securityContext": context,
                }
            ],
        },
    }
