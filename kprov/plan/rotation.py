"""What `kprov certs rotate` does next, and what it must wait for first. Pure; what is asked for it is in run/rotation.py.

Hosts are done with a phase at once. What lives in pods is not: a token is good until it ends, and a program that has read
the CA when it started knows of a new one only when it reads it again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from kprov.values.errors import KprovError
from kprov.values.rotation import MEANINGS, PHASES, Kind, Rotation

Step = Literal["begin", "apply", "onward", "backward", "end"]
TOKEN = timedelta(seconds=3607)  # what the API server makes of the hour that pods are given
# kubelet writes a changed ConfigMap within two minutes; clients of Kubernetes 1.36 and later read the CA again every five.
CA_READ = timedelta(minutes=8)
_SPARE = timedelta(seconds=30)  # between clocks


@dataclass(frozen=True, kw_only=True)
class Inside:
    """What the cluster was asked: pods, Secrets with tokens, and each namespace's ConfigMap with the CA."""

    pods: Sequence[Mapping[str, Any]] = ()
    secrets: Sequence[Mapping[str, Any]] = ()
    roots: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True, order=True)
class Workload:
    """What owns pods: a Deployment, DaemonSet or StatefulSet that can be restarted, or anything else that is only named."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"

    @property
    def path(self) -> str:
        """Where the API server has it; empty where it cannot be restarted."""
        plural = {"Deployment": "deployments", "DaemonSet": "daemonsets", "StatefulSet": "statefulsets"}.get(self.kind)
        return f"/apis/apps/v1/namespaces/{self.namespace}/{plural}/{self.name}" if plural else ""


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """until: when the next phase may begin. blocked: what has to be done before, in sentences. notes: what to know."""

    until: datetime | None = None
    blocked: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def next_step(rotation: Rotation | None, kinds: Sequence[Kind], *, back: bool) -> Step | None:
    """Return what is to be done now; None where nothing is left. Raises KprovError for what does not go.

    kinds: those that were named, none to go on with what has begun.
    """
    if rotation is None:
        if back or not kinds:
            raise KprovError(
                "no rotation has begun, so that there is none to go on with or to take back",
                needed="what to rotate",
                todo="name it: kubernetes, etcd, front-proxy, service-account, encryption, backups or all",
            )
        return "begin"
    if kinds and set(kinds) != set(rotation.kinds):
        raise KprovError(
            "another rotation has begun and has not ended",
            found=str(rotation),
            needed="one at a time",
            todo="leave the name out to go on with it, or take it back with --back",
        )
    if back and rotation.phase == "drop":
        raise KprovError(
            "the old one is dropped and its key is gone: this rotation cannot be taken back",
            found=str(rotation),
            todo="leave --back out to end it",
        )
    if back and rotation.phase != "back":
        return "backward"
    if not rotation.done:
        return "apply"
    return "end" if rotation.ends else "onward"


def asks_inside(rotation: Rotation) -> bool:
    """Return whether the cluster must be asked before the next phase."""
    return ("kubernetes" in rotation.kinds and rotation.phase == "trust") or (
        "service-account" in rotation.kinds and rotation.phase == "issue"
    )


def waiting(rotation: Rotation, inside: Inside, bundle: bytes, now: datetime) -> Waiting:
    """Return what the phase after this one has to wait for. bundle: the kubernetes CAs as pods are given them, PEM."""
    since = datetime.fromisoformat(rotation.since)
    times: list[datetime] = []
    blocked: list[str] = []
    notes: list[str] = []
    if "kubernetes" in rotation.kinds and rotation.phase == "trust":
        behind = _namespaces_behind(inside.roots, bundle)
        if behind:
            blocked.append(f"kube-root-ca.crt does not have the new CA yet in {', '.join(behind)}")
        early = workloads_before(inside.pods, since)
        if early:
            times.append(since + CA_READ)
            notes.append(
                "these use the API, and began before the new CA was trusted; what was built with a client of Kubernetes "
                "1.35 or older reads the CA only when it starts: restart it, or let --restart-pods do it: "
                f"{', '.join(map(str, early))}"
            )
    if "service-account" in rotation.kinds and rotation.phase == "issue":
        life = longest_token(inside.pods)
        times.append(since + life + _SPARE)
        notes.append(f"the longest life of a token that pods are given is {life.total_seconds() / 60:.0f} minutes")
        blocked += [
            f"Secret {name} holds a token that the old key signed: delete it, and make it again where it is needed"
            for name in legacy_tokens(inside.secrets, since)
        ]
    until = max(times, default=None)
    return Waiting(
        until=until if until is not None and until > now else None, blocked=tuple(blocked), notes=tuple(notes)
    )


def longest_token(pods: Iterable[Mapping[str, Any]]) -> timedelta:
    """Return the longest life that a pod asks for its token; never less than what every pod gets."""
    asked = [
        int(source["serviceAccountToken"].get("expirationSeconds", 3600))
        for pod in pods
        for volume in pod.get("spec", {}).get("volumes", ())
        for source in volume.get("projected", {}).get("sources", ())
        if "serviceAccountToken" in source
    ]
    return max(TOKEN, timedelta(seconds=max(asked, default=0)))


def legacy_tokens(secrets: Iterable[Mapping[str, Any]], since: datetime) -> list[str]:
    """Return the Secrets with a token that does not end and was signed before a time."""
    return sorted(_name(item) for item in secrets if _time(item["metadata"]["creationTimestamp"]) <= since)


def workloads_before(pods: Iterable[Mapping[str, Any]], since: datetime) -> list[Workload]:
    """Return what owns the pods that have a token and began before a time, each once."""
    found = set()
    for pod in pods:
        began = pod.get("status", {}).get("startTime")
        tokens = any(
            "serviceAccountToken" in source
            for volume in pod.get("spec", {}).get("volumes", ())
            for source in volume.get("projected", {}).get("sources", ())
        )
        if tokens and began and _time(began) <= since:
            found.add(_owner(pod))
    return sorted(found)


def lines(rotation: Rotation | None) -> list[str]:
    """Return the phases of a rotation as lines, with the one that it is in."""
    rows = []
    for phase in PHASES:
        mark = " "
        if rotation is not None and rotation.phase == phase:
            mark = "✓" if rotation.done else "…"
        elif rotation is not None and rotation.phase in PHASES and PHASES.index(phase) < PHASES.index(rotation.phase):
            mark = "✓"
        rows.append(f"  {mark} {phase:<6} {MEANINGS[phase]}")
    if rotation is not None and rotation.phase == "back":
        rows.append(f"  {'✓' if rotation.done else '…'} back   {MEANINGS['back']}")
    return rows


def _namespaces_behind(roots: Iterable[Mapping[str, Any]], bundle: bytes) -> list[str]:
    wanted = bundle.decode().strip()
    return sorted(
        str(item["metadata"]["namespace"])
        for item in roots
        if str(item.get("data", {}).get("ca.crt", "")).strip() != wanted
    )


def _owner(pod: Mapping[str, Any]) -> Workload:
    """A Deployment by its ReplicaSet's name; the pod itself where nobody owns it."""
    space = str(pod["metadata"]["namespace"])
    for owner in pod["metadata"].get("ownerReferences", ()):
        if owner["kind"] == "ReplicaSet":
            return Workload("Deployment", space, str(owner["name"]).rpartition("-")[0])
        return Workload(str(owner["kind"]), space, str(owner["name"]))
    return Workload("Pod", space, str(pod["metadata"]["name"]))


def _name(item: Mapping[str, Any]) -> str:
    return f"{item['metadata']['namespace']}/{item['metadata']['name']}"


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))
