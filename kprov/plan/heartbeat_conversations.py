"""Heartbeats of kubelets that were restarted: the cluster is asked for one newer than the start. Pure.

A kubelet may answer on its own port and reach no API server. Its lease tells: kubelet renews it at its start and every
ten seconds. Both times are its node's, so that no clocks are compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from kprov.plan import kube_answers as said
from kprov.plan.conversation import Answer, Talk
from kprov.plan.kube_requests import kubectl
from kprov.values.errors import ApplyError

_SECONDS = 60  # six renewals
_TOGETHER = 100  # nodes whose heartbeats one request waits for; its expression has some 200 bytes for each
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_COLUMNS = "custom-columns=N:.metadata.name,T:.spec.renewTime"


class NoHeartbeatError(ApplyError):
    """nodes: whose heartbeat was awaited in vain."""

    def __init__(self, *, nodes: tuple[str, ...], found: str, needed: str, todo: str, log: str) -> None:
        what = "a kubelet was started, and the cluster does not hear of it"
        super().__init__(what, found=found, needed=needed, todo=todo, log=log)
        self.nodes = nodes


def awaited(starts: Mapping[str, int]) -> Talk[None]:
    """Wait for a heartbeat of each node. starts: node → when its kubelet started, in microseconds of the epoch."""
    since = {name: micro_time(starts[name]) for name in sorted(starts)}
    about = f"heartbeats of {', '.join(since)}"
    leases = ("get", "leases", "-n", "kube-node-lease", "--no-headers", "-o", _COLUMNS)
    (answer,) = yield (kubectl(about, *leases),)
    late = _late(since, answer)
    while late:
        some = list(late)[:_TOGETHER]
        newer = "|".join(f"{name.replace('.', '[.]')} +{later_than(since[name])}" for name in some)
        (answer,) = yield (
            kubectl(
                about, *leases, *some, again=(*said.PASSING, said.NOT_FOUND), until=f"^({newer})", seconds=_SECONDS
            ),
        )
        still = _late({name: since[name] for name in some}, answer)
        if still:
            raise NoHeartbeatError(
                # What nobody could ask says nothing of a node.
                nodes=tuple(still) if answer.ok else (),
                found="; ".join(
                    f"{name}: started {since[name]}, last heartbeat {last}" for name, last in still.items()
                ),
                needed=f"a heartbeat (lease in kube-node-lease) newer than kubelet's start, within {_SECONDS} s",
                todo="look at kubelet's journal on that node, then run the same command again: it goes on from here",
                log="" if answer.ok else said.words(answer),
            )
        late = {name: last for name, last in late.items() if name not in some}


def _late(since: Mapping[str, str], answer: Answer) -> dict[str, str]:
    """Node → its last heartbeat, of those without one since."""
    rows = (line.split() for line in answer.text.splitlines())
    renewed = {row[0]: row[1] for row in rows if len(row) == 2}
    return {name: renewed.get(name, "never") for name in since if renewed.get(name, "") <= since[name]}


def micro_time(microseconds: int) -> str:
    """Write a time as a Lease holds it (Kubernetes' MicroTime), so that the order of texts is the order of times."""
    return (_EPOCH + timedelta(microseconds=microseconds)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def later_than(time: str) -> str:
    """Return an extended regular expression of the times of that form that come after it."""
    expression = ""
    for sign in reversed(time):
        if sign.isdigit() and sign != "9":
            above = "9" if sign == "8" else f"[{int(sign) + 1}-9]"
            expression = f"({above}|{sign}{expression})" if expression else above
        elif expression:
            expression = f"[{sign}]{expression}" if sign == "." else f"{sign}{expression}"
    return expression
