"""Add-ons: their objects are applied, then what they name is waited for; one that fails stops no other. Steps; pure.

Fields that others own are left to them. A workload that cannot be changed is made again where the user allowed it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kprov.addon.pods import stuck_images, tell_pods
from kprov.addon.readiness import why_not_ready
from kprov.addon.refusals import explained, is_immutable
from kprov.objects.objects import Identity
from kprov.objects.selector import selects
from kprov.plan import kube_answers as said
from kprov.plan.conversation import Answer, Refused, Request
from kprov.plan.kube_answers import Object
from kprov.plan.kube_requests import WAIT_SECONDS, get, kubectl
from kprov.plan.object_conversations import Found
from kprov.plan.steps import Step

# After each of these pods are looked at: what a registry did not give at two of them, it does not give. Three attempts of
# the kubelet are made in the first.
_ROUNDS = (20, 20, WAIT_SECONDS - 40)


def apply_addon(name: str, documents: bytes, sent: Sequence[Identity], recreated: bytes = b"") -> Step:
    """documents: its objects, which `sent` names in order. recreated: the least of each workload that may be deleted."""
    about = f"add-on {name}"

    def judge(answer: Answer) -> Found:
        if answer.ok:
            return ()
        if recreated and is_immutable(answer.words):
            deleted = ("delete", "--ignore-not-found", "--timeout=60s", "-f", "-")
            return (
                Step(request=kubectl(about, *deleted, stdin=recreated), judge=cleared, group=name),
                apply_addon(name, documents, sent),
            )
        return (_refused(name, answer, sent),)

    def cleared(answer: Answer) -> Found:
        return () if answer.ok else (_refused(name, answer, sent),)

    applied = ("apply", "--server-side", "--field-manager=kprov", "-f", "-")
    return Step(request=kubectl(about, *applied, stdin=documents, again=said.ADDING), judge=judge, group=name)


def _refused(name: str, answer: Answer, sent: Sequence[Identity]) -> Refused:
    why = explained(name, said.words(answer), sent)
    return Refused(
        about=f"add-on {name}",
        expected="the API server to take its objects",
        found=why.found,
        todo=why.todo,
        log="\n".join(why.log.splitlines()[-24:]),
    )


@dataclass(frozen=True, kw_only=True)
class Awaited:
    """A row of an add-on's `ready:`. kind: as kubectl takes it (`deployment`); namespace: none for an APIService."""

    addon: str
    kind: str
    namespace: str
    name: str

    @property
    def about(self) -> str:
        return f"add-on {self.addon}: {self.kind}/{self.name}"


def await_ready(row: Awaited) -> Step:
    """Wait until it is ready. Images that cannot be pulled are not waited for until time is up."""
    return _round(row, 0, frozenset())


def _round(row: Awaited, number: int, stuck: frozenset[str]) -> Step:
    """stuck: images that could not be pulled when pods were looked at before."""

    def judge(answer: Answer) -> Found:
        return () if answer.ok else (_look(row, number, stuck),)

    return Step(request=_wait(row, _ROUNDS[number]), judge=judge, group=row.addon)


def _wait(row: Awaited, seconds: int) -> Request:
    asked: tuple[str, ...]
    if row.kind == "apiservice":
        asked = ("wait", "--for=condition=Available", "--timeout=5s", f"apiservice/{row.name}")
    else:
        asked = ("rollout", "status", f"{row.kind}/{row.name}", "-n", row.namespace, "--timeout=5s")
    return kubectl(row.about, *asked, again=(".",), seconds=seconds)


def _look(row: Awaited, number: int, stuck: frozenset[str]) -> Step:
    """What it says of itself, then its pods; after that the next round, or the end."""
    space = ("-n", row.namespace) if row.namespace else ()

    def judge(answer: Answer) -> Found:
        item = next(iter(said.objects(answer) or ()), None)
        if item is None or row.kind == "apiservice":
            return _go_on(row, number, stuck, item, ())
        ask = get(row.about, "pods", *space)
        return (Step(request=ask, judge=lambda pods: _with_pods(item, pods), group=row.addon, decides=True),)

    def _with_pods(item: Object, answer: Answer) -> Found:
        return _go_on(row, number, stuck, item, _pods_of(item, said.objects(answer) or ()))

    own = get(row.about, row.kind, row.name, *space, "--ignore-not-found")
    return Step(request=own, judge=judge, group=row.addon, decides=True)


def _go_on(row: Awaited, number: int, stuck: frozenset[str], item: Object | None, pods: Sequence[Object]) -> Found:
    """pods: its own, that are not ready."""
    if item is not None and not why_not_ready(item):
        return ()
    images = frozenset(image for _, image, _ in stuck_images(pods))
    if images & stuck or number + 1 == len(_ROUNDS):
        return (_unready(row, item, pods),)
    return (_round(row, number + 1, images),)


def _pods_of(item: Object, pods: Sequence[Object]) -> list[Object]:
    """Its pods that are not ready."""
    selector: Mapping[str, object] = item.get("spec", {}).get("selector") or {}
    return [
        pod
        for pod in pods
        if selects(selector, pod["metadata"].get("labels") or {})
        and said.condition(pod, "Ready").get("status") != "True"
    ]


def _unready(row: Awaited, item: Object | None, pods: Sequence[Object]) -> Refused:
    why = why_not_ready(item) if item is not None else "it is not there"
    pulls = [f"{node} cannot pull {image}: {message}" for node, image, message in stuck_images(pods)]
    todo = (
        f"let that node reach that registry, or have the image where it can; `kprov addons info {row.addon}` names the images"
        if pulls
        else f"fix what the log names, then run again; `kprov addons info {row.addon}` tells what it takes"
    )
    return Refused(
        about=row.about,
        expected=f"{row.kind} {row.name} to be ready within {WAIT_SECONDS} s",
        found="; ".join(pulls) or f"{row.kind} {row.name} is not ready: {why}",
        todo=todo,
        log="\n".join([f"{row.kind} {row.name}: {why}", *tell_pods(pods)][:24]),
    )
