"""Volumes in a folder on hosts that is about to go: those that are claimed keep it, the others go with it. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from kprov.plan import kube_answers as said
from kprov.plan.conversation import Answer, Talk
from kprov.plan.kube_answers import Object
from kprov.plan.kube_requests import WAIT_SECONDS, get, kubectl, refusal
from kprov.values.errors import ApplyError

_ROUNDS = 3  # of waiting for what is about to be given up


def removed(folder: str) -> Talk[None]:
    """Delete the volumes in a folder, once none is claimed any more."""
    about = f"volumes in {folder}"
    look = (get(about, "persistentvolumes"), get(about, "persistentvolumeclaims", "-A"))
    answers = yield look
    for _ in range(_ROUNDS):
        volumes, claims = _found(folder, answers)
        bound = [volume for volume in volumes if volume.get("status", {}).get("phase") == "Bound"]
        held = [volume for volume in bound if _claim(volume) in claims]
        if held:
            raise ApplyError(
                f"{folder} holds volumes that are in use, so nothing of it was removed",
                found="; ".join(map(_told, held)),
                needed="no claim of them",
                todo="delete these claims and run again, or switch the add-on on again",
            )
        if not bound:
            break
        given_up = kubectl(
            about, "get", "persistentvolumes", *_names(bound), "--no-headers", "-o", "custom-columns=P:.status.phase",
            until="^(Available|Released|Failed)", seconds=WAIT_SECONDS // _ROUNDS,
        )  # fmt: skip
        answers = yield (given_up, *look)
        answers = answers[1:] if len(answers) > len(look) else (yield look)
    else:
        raise ApplyError(
            f"volumes in {folder} were not given up within {WAIT_SECONDS} s",
            found="; ".join(map(_told, bound)),
            needed="each Released, as its claim is gone",
            todo="look at the volumes (kubectl describe pv), then run the same command again",
        )
    if volumes:
        (answer,) = yield (
            kubectl(about, "delete", "persistentvolumes", "--ignore-not-found", "--wait=false", *_names(volumes)),
        )
        if not answer.ok:
            raise refusal(f"volumes in {folder} could not be deleted", answer)


def _found(folder: str, answers: Sequence[Answer]) -> tuple[list[Object], set[tuple[str, str]]]:
    """The volumes in the folder, and namespace and name of the claims that nobody deletes."""
    rows = [said.objects(answer) for answer in answers]
    if len(rows) < 2 or rows[0] is None or rows[1] is None:
        raise refusal("volumes could not be asked for", answers[-1])
    claims = {(one["metadata"]["namespace"], one["metadata"]["name"]) for one in rows[1]
              if "deletionTimestamp" not in one["metadata"]}  # fmt: skip
    return [volume for volume in rows[0] if _path(volume).startswith(f"{folder}/")], claims


def _path(volume: Object) -> str:
    spec = volume.get("spec", {})
    return str(spec.get("local", spec.get("hostPath", {})).get("path", ""))


def _claim(volume: Object) -> tuple[str, str]:
    reference = volume.get("spec", {}).get("claimRef") or {}
    return reference.get("namespace", ""), reference.get("name", "")


def _told(volume: Object) -> str:
    terms = volume["spec"].get("nodeAffinity", {}).get("required", {}).get("nodeSelectorTerms") or ()
    nodes = [value for term in terms for one in term.get("matchExpressions") or () for value in one.get("values") or ()]
    where = f" on node {', '.join(nodes)}" if nodes else ""
    return f"{volume['metadata']['name']}{where}, claimed by {'/'.join(_claim(volume))}"


def _names(volumes: Sequence[Object]) -> list[str]:
    return [str(volume["metadata"]["name"]) for volume in volumes]
