"""Draining nodes and letting them serve again: what is asked of the cluster, and what its answers mean. Generators.

A node that kprov cordons carries a mark, written in the same request: what a user cordoned has none, and kprov never
opens it. Disruption budgets are respected: pods are evicted, never deleted.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence

from kprov.objects.selector import selects
from kprov.plan import kube_answers as said
from kprov.plan.conversation import Answer, Request, Talk
from kprov.plan.kube_answers import Object
from kprov.plan.kube_requests import WAIT_SECONDS, get, kubectl, refusal
from kprov.plan.upgrades import CORDONED
from kprov.values.errors import ApplyError

_SHOWN = 8  # pods that a message names


def drained(names: Sequence[str], seconds: int, *, force: bool = False) -> Talk[str]:
    """Cordon nodes, then drain them side by side. force: pods that no controller makes again are lost, too.

    Returns which of these there were. Nodes that are not there, any more or yet, have nothing to be drained of. Nothing is
    cordoned when that would not end.
    """
    nodes, pods = yield from _looked_at(names)
    if not nodes:
        return ""
    lost = [pod for pod in pods if _is_lost(pod)]
    if lost and not force:
        raise ApplyError(
            f"cannot drain {', '.join(_names(nodes))}",
            found=f"pods that nothing would make again: {_shown(lost)}",
            needed="a controller of each pod (Deployment, StatefulSet, Job)",
            todo="delete these pods, then run the same command again",
        )
    open_nodes = [node for node in nodes if not node.get("spec", {}).get("unschedulable")]
    drain = kubectl(
        f"drain of {', '.join(_names(nodes))}",
        *("drain", "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=10s", *(("--force",) if force else ())),
        each=tuple(_names(nodes)), again=(".",), seconds=seconds,
    )  # fmt: skip
    answers = yield (*(_patch(name, closed=True) for name in _names(open_nodes)), drain)
    last = answers[-1]
    if len(answers) <= len(open_nodes):
        raise refusal(f"cannot cordon {_names(open_nodes)[len(answers) - 1]}", last)
    if not last.ok:
        yield from _explained(_names(nodes), seconds, last)
    return _shown(lost)


def opened(names: Sequence[str]) -> Talk[None]:
    """Let nodes serve again that kprov cordoned."""
    (answer,) = yield (get(_about(names), "nodes", *names),)
    yield from _opened(_those(names, answer))


def _opened(nodes: Sequence[Object]) -> Talk[None]:
    marked = [node for node in nodes if CORDONED in (node["metadata"].get("annotations") or {})]
    if marked:
        answers = yield tuple(_patch(name, closed=False) for name in _names(marked))
        if not answers[-1].ok:
            raise refusal(f"cannot uncordon {_names(marked)[len(answers) - 1]}", answers[-1])


def reopened(
    names: Sequence[str], version: str, schemes: Mapping[str, str], networkless: Collection[str] = ()
) -> Talk[None]:
    """Wait until nodes run the kubelet and runtime that they should and are Ready, then let them serve again.

    version: of kubelet. schemes: node → how its runtime's name begins, of those that got another one. networkless: nodes
    that were waiting for the user's own network before, and may go on doing so.
    """
    waits = [request for name in names for request in _waits(name, version, schemes.get(name, ""), name in networkless)]
    answers = yield (*waits, get(_about(names), "nodes", *names))
    last = answers[-1]
    if len(answers) <= len(waits):
        (last,) = yield (get(_about(names), "nodes", *names),)
    nodes = {node["metadata"]["name"]: node for node in _those(names, last)}
    found = (_unready(nodes.get(name), version, schemes.get(name, ""), name in networkless) for name in names)
    unready = [why for why in found if why]
    if unready:
        raise ApplyError(
            "a node did not come back",
            found="; ".join(unready),
            needed=f"each Ready with kubelet {version} within {WAIT_SECONDS} s",
            todo="look at kubelet's journal on that node, then run the same command again: it goes on from here",
            log="\n".join(answer.words for answer in answers if not answer.ok),
        )
    yield from _opened(list(nodes.values()))


def _waits(name: str, version: str, scheme: str, networkless: bool) -> Iterator[Request]:
    """Until what may come late is there, each for a while; what it came to, the node itself tells afterwards."""
    info = "jsonpath={.status.nodeInfo.kubeletVersion} {.status.nodeInfo.containerRuntimeVersion}"
    yield kubectl(
        f"node {name} with kubelet {version}", "get", "node", name, "-o", info,
        until=f"^v{version.replace('.', '[.]')} {scheme}", again=said.PASSING, seconds=WAIT_SECONDS,
    )  # fmt: skip
    if not networkless:
        yield kubectl(
            f"node {name} Ready", "get", "node", name, "-o",
            'jsonpath={.status.conditions[?(@.type=="Ready")].status}',
            until="^True", again=said.PASSING, seconds=WAIT_SECONDS,
        )  # fmt: skip


def _those(names: Sequence[str], answer: Answer) -> Sequence[Object]:
    nodes = said.objects(answer)
    if nodes is None:
        raise refusal(f"cannot look at {', '.join(names)}", answer)
    return nodes


def _unready(node: Object | None, version: str, scheme: str, networkless: bool) -> str:
    """Why a node is not as it should be, nothing when it is."""
    if node is None:
        return "it is not in the cluster"
    name, info = node["metadata"]["name"], node.get("status", {}).get("nodeInfo", {})
    if info.get("kubeletVersion") != f"v{version}":
        return f"{name} runs kubelet {info.get('kubeletVersion', 'of no version')}"
    if not str(info.get("containerRuntimeVersion", "")).startswith(scheme):
        return f"{name} runs {info.get('containerRuntimeVersion', 'no runtime')}"
    ready = said.condition(node, "Ready")
    if ready.get("status") == "True" or (networkless and said.WITHOUT_NETWORK in ready.get("message", "")):
        return ""
    return f"{name} is not Ready: {ready.get('message') or 'it has not reported yet'}"


def _looked_at(names: Sequence[str]) -> Talk[tuple[Sequence[Object], Sequence[Object]]]:
    """The nodes that are there, and the pods on them."""
    on_them = (get(f"pods on {name}", "pods", "-A", "--field-selector", f"spec.nodeName={name}") for name in names)
    answers = yield (get(_about(names), "nodes", *names, "--ignore-not-found"), *on_them)
    if answers[0].ok and not answers[0].text.strip():
        return (), ()
    found = [said.objects(answer) for answer in answers]
    if len(found) <= len(names) or None in found:
        raise refusal(f"cannot look at {', '.join(names)}", answers[-1])
    nodes, *pods = (rows or () for rows in found)
    return nodes, [pod for rows in pods for pod in rows]


def _explained(names: Sequence[str], seconds: int, refused: Answer) -> Talk[None]:
    """Say which pods stay, and which budgets keep them. Always raises ApplyError."""
    _, pods = yield from _looked_at(names)
    (answer,) = yield (get("disruption budgets", "poddisruptionbudgets", "-A"),)
    budgets = said.objects(answer) or ()
    staying = [pod for pod in pods if _is_evicted(pod)]
    kept = [f"{_title(pod)} by the disruption budget {_title(budget)}" for pod in staying for budget in budgets
            if _keeps(budget, pod)]  # fmt: skip
    if kept:
        found = f"kept where they are: {'; '.join(kept[:_SHOWN])}"
        todo = "let the budget allow it (more replicas, or a smaller minAvailable), then run the same command again"
    else:
        found = f"still there: {_shown(staying)}" if staying else said.error(refused)
        todo = "look at what keeps them (kubectl describe pod), then run the same command again"
    raise ApplyError(
        f"cannot drain {', '.join(names)} within {seconds} s",
        found=found,
        needed="every pod that a controller makes again to go somewhere else",
        todo=todo,
        log=refused.words,
    )


def _is_evicted(pod: Object) -> bool:
    """Whether a drain waits for it: kubelet's own pods and those of DaemonSets stay."""
    meta = pod["metadata"]
    return "kubernetes.io/config.mirror" not in (meta.get("annotations") or {}) and _controller(pod) != "DaemonSet"


def _is_lost(pod: Object) -> bool:
    ended = pod.get("status", {}).get("phase") in ("Succeeded", "Failed")
    return _is_evicted(pod) and not _controller(pod) and not ended


def _controller(pod: Object) -> str:
    owners = pod["metadata"].get("ownerReferences") or ()
    return next((str(owner.get("kind")) for owner in owners if owner.get("controller")), "")


def _keeps(budget: Object, pod: Object) -> bool:
    same = budget["metadata"].get("namespace") == pod["metadata"].get("namespace")
    allowed = budget.get("status", {}).get("disruptionsAllowed", 0)
    labels = pod["metadata"].get("labels") or {}
    return same and not allowed and selects(budget.get("spec", {}).get("selector") or {}, labels)


def _patch(name: str, *, closed: bool) -> Request:
    mark = {"metadata": {"annotations": {CORDONED: "upgrade" if closed else None}}}
    patch = {**mark, "spec": {"unschedulable": True if closed else None}}
    return kubectl(
        f"node {name} {'' if closed else 'un'}cordoned",
        *("patch", "node", name, "--type=merge", "-p", json.dumps(patch, separators=(",", ":"))),
    )  # fmt: skip


def _about(names: Sequence[str]) -> str:
    return f"node{'s' if len(names) > 1 else ''} {', '.join(names)}"


def _names(nodes: Sequence[Object]) -> list[str]:
    return [str(node["metadata"]["name"]) for node in nodes]


def _title(item: Object) -> str:
    return f"{item['metadata'].get('namespace', '')}/{item['metadata']['name']}"


def _shown(pods: Sequence[Object]) -> str:
    more = f" and {len(pods) - _SHOWN} more" if len(pods) > _SHOWN else ""
    return ", ".join(map(_title, pods[:_SHOWN])) + more
