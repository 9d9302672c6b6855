"""Kubernetes objects: what a control plane is asked to make, delete and wait for, and what its answers mean. Steps; pure.

An add-on's are in addon_conversations.py, volumes in volume_conversations.py.
"""

from __future__ import annotations

from collections.abc import Sequence

from kprov.addon.refusals import blocked, explained
from kprov.objects.listing import NAME, NAMESPACE, OLD_NAME
from kprov.objects.objects import Identity
from kprov.plan import kube_answers as said
from kprov.plan.conversation import Answer, Refused, Remark
from kprov.plan.kube_requests import WAIT_SECONDS, get, kubectl, refusal
from kprov.plan.steps import Step
from kprov.values.errors import ApplyError

_UNINITIALIZED = "node.cloudprovider.kubernetes.io/uninitialized"

Found = Sequence[Step | Remark | Refused]


def apply_objects(about: str, documents: bytes, sent: Sequence[Identity]) -> Step:
    """kprov's own objects: what others own of their fields is taken from them. sent: what they are, in order."""

    def judge(answer: Answer) -> Found:
        if not answer.ok:
            why, unanswered = explained("", said.words(answer), sent), blocked(answer.words)
            raise ApplyError(
                "the cluster refused objects of kprov's own",
                found=why.found,
                needed="the API server to take them",
                todo=unanswered.todo
                if unanswered
                else "fix what it names, then run the same command again: it goes on from here",
                log=why.log,
            )
        return ()

    request = kubectl(
        about, "apply", "--server-side", "--force-conflicts", "--field-manager=kprov", "-f", "-",
        stdin=documents, again=said.APPLYING,
    )  # fmt: skip
    return Step(request=request, judge=judge)


def write_first_list(document: bytes) -> Step:
    """The list of objects, only where there is none: what an older one names is not known here."""
    about = "the list of objects"

    def judge(answer: Answer) -> Found:
        if not answer.ok:
            raise refusal("the list of objects could not be looked for", answer)
        return () if answer.text.strip() else (apply_objects(about, document, ()),)

    ask = kubectl(about, "get", "configmap", NAME, OLD_NAME, "-n", NAMESPACE, "--ignore-not-found", "-o", "name")
    return Step(request=ask, judge=judge, decides=True)


def keep_volumes(namespaces: Sequence[str]) -> Step:
    """Namespaces that are to go have no claims of volumes left in them."""
    about = f"volumes in {', '.join(namespaces)}"

    def judge(answer: Answer) -> Found:
        claims = said.objects(answer)
        if claims is None:
            raise refusal(f"the {about} could not be asked for", answer)
        held = [claim["metadata"] for claim in claims if claim["metadata"].get("namespace") in namespaces]
        if held:
            raise ApplyError(
                "a namespace that is to go holds volumes, which go only with --delete-data",
                found=", ".join(f"{claim['namespace']}/{claim['name']}" for claim in held),
                needed="no PersistentVolumeClaim in it",
                todo="delete these claims, or run again with --delete-data",
            )
        return ()

    return Step(request=get(about, "persistentvolumeclaims", "-A"), judge=judge, decides=True)


def delete_objects(about: str, documents: bytes) -> Step:
    """documents: the least of each object, in order."""

    def judge(answer: Answer) -> Found:
        if not answer.ok:
            raise refusal("objects could not be deleted", answer)
        return ()

    arguments = ("delete", "--ignore-not-found", "--wait=false", "-f", "-")
    return Step(request=kubectl(about, *arguments, stdin=documents), judge=judge)


def await_end(namespace: str, about: str) -> Step:
    """Wait until a namespace is gone; one that stays is told with what its controller says of it."""

    def explain(answer: Answer) -> Found:
        if answer.ok and not answer.text.strip():
            return ()
        (space, *_) = said.objects(answer) or ({},)
        reasons = [
            str(condition["message"])
            for condition in space.get("status", {}).get("conditions") or ()
            if condition.get("status") == "True" and condition.get("message")
        ]
        why = "; ".join(reasons) or ("it is still there" if answer.ok else said.error(answer))
        refused = Refused(
            about=about,
            expected=f"it to be gone within {WAIT_SECONDS} s",
            found=f"namespace {namespace} is still there: {why}",
            todo="look at what is left in it, then run the same command again",
        )
        return (refused,)

    def judge(answer: Answer) -> Found:
        if answer.ok:
            return ()
        look = get(about, "namespace", namespace, "--ignore-not-found")
        return (Step(request=look, judge=explain),)

    waiting = ("wait", "--for=delete", f"namespace/{namespace}", "--timeout=10s")
    return Step(request=kubectl(about, *waiting, again=(".",), seconds=WAIT_SECONDS), judge=judge)


def await_registration(nodes: Sequence[str]) -> Step:
    """Wait until each node is Ready, or lacks nothing but a pod network that is not kprov's.

    kubelet has no condition of its own for that network: it quotes the runtime's in the message of Ready.
    """
    about = "nodes registered"

    def judge(answer: Answer) -> Found:
        if not answer.ok:
            raise _unregistered(nodes, said.error(answer), answer)
        rows = {name: (status, message) for name, status, message in _rows(answer)}
        lacking = [name for name in nodes if name not in rows]
        waiting = [name for name, (status, _) in rows.items() if status != "True"]
        ill = [f"{name}: {rows[name][1] or 'it has not reported yet'}" for name in waiting
               if said.WITHOUT_NETWORK not in rows[name][1]]  # fmt: skip
        if ill or lacking:
            raise _unregistered(
                nodes, "; ".join([*ill, *(f"{name}: there is no such node" for name in lacking)]), answer
            )
        if not waiting:
            return ()
        return (
            Remark(
                text="registered, and NotReady until your pod network is there (network: none): "
                f"{', '.join(sorted(waiting))}"
            ),
        )

    ready = '.status.conditions[?(@.type=="Ready")]'
    columns = f"custom-columns=N:.metadata.name,S:{ready}.status,M:{ready}.message"
    ask = kubectl(
        about, "get", "nodes", *nodes, "--no-headers", "-o", columns,
        again=(*said.PASSING, said.NOT_FOUND), until=f"^[^ ]+ +(True |.*{said.WITHOUT_NETWORK})", seconds=WAIT_SECONDS,
    )  # fmt: skip
    return Step(request=ask, judge=judge, decides=True)


def _rows(answer: Answer) -> list[tuple[str, str, str]]:
    """Name, status and message of each line of columns."""
    parts = (line.split(None, 2) for line in answer.text.splitlines())
    return [(part[0], part[1] if len(part) > 1 else "", part[2] if len(part) > 2 else "") for part in parts if part]


def _unregistered(nodes: Sequence[str], found: str, answer: Answer) -> ApplyError:
    return ApplyError(
        "nodes did not register" if len(nodes) > 1 else "a node did not register",
        found=found,
        needed=f"each Ready, or waiting for nothing but your pod network, within {WAIT_SECONDS} s",
        todo="look at kubelet's journal on that node, then run the same command again: it goes on from here",
        log=answer.words,
    )


def await_takeover(addon: str) -> Step:
    """Wait until a cloud's controller has said of every node what machine it is."""
    about = "nodes taken over by the cloud's controller"

    def judge(answer: Answer) -> Found:
        if not answer.ok:
            raise refusal("the taints of nodes could not be asked for", answer)
        nodes = [line for line in answer.text.splitlines() if line != "."]
        return (Step(request=look, judge=lambda logs: (_not_taken(about, addon, nodes, logs),)),) if nodes else ()

    look = kubectl(
        about, "logs", "-n", "kube-system", "-l", "kprov.io/cloud-controller", "--tail=6", "--prefix", seconds=0
    )
    untaken = (
        "go-template={{range .items}}{{$name := .metadata.name}}{{range .spec.taints}}"
        f'{{{{if eq .key "{_UNINITIALIZED}"}}}}{{{{$name}}}}{{{{"\\n"}}}}{{{{end}}}}{{{{end}}}}{{{{end}}}}.'
    )
    ask = kubectl(about, "get", "nodes", "-o", untaken, until="^[.]$", seconds=WAIT_SECONDS)
    return Step(request=ask, judge=judge, group=addon)


def _not_taken(about: str, addon: str, nodes: Sequence[str], logs: Answer) -> Refused:
    return Refused(
        about=about,
        expected=f"no node with the taint {_UNINITIALIZED} within {WAIT_SECONDS} s",
        found=f"not taken over by the cloud's controller within {WAIT_SECONDS} s: {', '.join(nodes)}",
        todo=f"look at what the controller says; `kprov addons info {addon}` tells what it needs",
        log=logs.text or logs.words,
    )
