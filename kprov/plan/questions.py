"""What a run asks of each host, and of which one it asks the cluster's objects. Asks nobody itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from kprov.objects.objects import OWNER, OWNER_LABEL
from kprov.observe.observation import Observation
from kprov.observe.probe import Question
from kprov.plan import delivery
from kprov.plan.desired import Desired, questions
from kprov.plan.ways import ways
from kprov.roles.api_server import ENCRYPTION
from kprov.values.addresses import host_of
from kprov.values.components import KUBE_APISERVER
from kprov.values.model import Cluster, Host

Credential = Callable[[], bytes]  # makes a short-lived kubeconfig for the host that is asked

# Every kind that kprov's own objects may have, in the form of the list in the cluster, whose kinds the probe adds: all
# are asked for in one request, so that what is removed is seen too.
OBJECT_KINDS = (
    "node,namespace,serviceaccount,configmap,service,deployment.apps,poddisruptionbudget.policy,"
    "clusterrole.rbac.authorization.k8s.io,clusterrolebinding.rbac.authorization.k8s.io"
)


def first_questions(
    cluster: Cluster, credential: Credential | None, *, deep: bool, kms: bool = False
) -> dict[str, Question]:
    """Return the question for each host; what its own ledger names is answered without being asked for.

    credential: None while the cluster has no CAs. kms: whether a KMS encrypts, which each API server is asked about.
    Raises what credential raises.
    """
    asked = {host.name: Question(deep=deep, names=names_to_resolve(cluster, host)) for host in cluster.hosts}
    if credential is not None and kms:
        asked |= {host.name: with_kms(asked[host.name], credential) for host in cluster.group("control_plane")}
    if credential is not None:
        # One control plane lists the objects; which one does not matter, and another is asked when it cannot.
        name = cluster.group("control_plane")[0].name
        asked[name] = with_objects(asked[name], credential)
    return asked


def names_to_resolve(cluster: Cluster, host: Host) -> tuple[str, ...]:
    """Return the names that a host has to resolve before it is changed: that of the API servers, unless an address."""
    if cluster.api_endpoint is None or not host.is_node:
        return ()
    name = host_of(cluster.api_endpoint)
    return () if name.replace(".", "").isdigit() else (name,)


def with_objects(question: Question, credential: Credential) -> Question:
    """Return the question with that for kprov's objects in the cluster, and a credential of its own for it."""
    return replace(question, kubeconfig=credential(), selector=f"{OWNER_LABEL}={OWNER}", kinds=OBJECT_KINDS)


def with_kms(question: Question, credential: Credential) -> Question:
    """Return the question with that for the KMS of the host's API server, and a credential of its own for it."""
    return replace(question, kubeconfig=credential(), kms=True)


def other_askers(cluster: Cluster, observations: Mapping[str, Observation]) -> list[str]:
    """Name the control planes whose API servers run, but for the first one, which was asked for the objects."""
    names = [host.name for host in cluster.group("control_plane")[1:] if host.name in observations]
    states = {name: observations[name].units.get(KUBE_APISERVER.unit) for name in names}
    return [name for name, state in states.items() if state is not None and state.active == "active"]


def leaving_questions(cluster: Cluster, credential: Credential, leaving: Sequence[str]) -> dict[str, Question]:
    """Return the questions before hosts leave a cluster that stays: every control plane that stays is asked for their nodes.

    All of them, as any may be the one whose API server answers. Raises what credential raises.
    """
    selector = f"kubernetes.io/hostname in ({','.join(leaving)})"
    return {
        host.name: Question(kubeconfig=credential(), selector=selector, kinds="node", texts=(ENCRYPTION,))
        for host in cluster.group("control_plane")
        if host.name not in leaving
    }


def further_questions(
    cluster: Cluster,
    credential: Credential | None,
    desired: Mapping[str, Desired],
    observations: Mapping[str, Observation],
    *,
    limit: frozenset[str] | None,
    deep: bool,
) -> dict[str, Question]:
    """A second question only for hosts that lack what they might download, or what no ledger has named yet.

    And for those that will connect to others, where one of both is new: nothing but a packet tells of firewalls.
    """
    again: dict[str, Question] = {}
    for name, resources in desired.items():
        seen = observations[name]
        keys = questions(resources, seen.records)
        touched = limit is None or name in limit
        urls = _downloads(cluster, resources, seen) if touched else ()
        if urls or any(key not in seen.asked for key in keys):
            again[name] = Question(keys=keys, urls=urls, facts=False, deep=deep)
    knocks: dict[str, list[tuple[str, int]]] = {}
    for way in ways(cluster, observations, limit):
        knocks.setdefault(way.caller, []).append((way.address, way.port))
    for name, knocked in knocks.items():
        again[name] = replace(again.get(name, Question(facts=False, deep=deep)), knocks=knocked)
    asker = next((name for name, seen in observations.items() if seen.objects is not None), "")
    if asker in again and credential is not None:  # a second answer takes the place of the first
        again[asker] = with_objects(again[asker], credential)
    return again


def _downloads(cluster: Cluster, desired: Desired, seen: Observation) -> Sequence[str]:
    return () if cluster.artifacts.delivery == "push" else delivery.urls(delivery.lacking(desired, seen))
