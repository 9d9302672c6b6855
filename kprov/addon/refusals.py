"""What the API server said when it refused objects of an add-on → what is wrong, of which object, and what to do. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from kprov.objects.objects import Identity, resource_kind, titled

# kubectl's words, which has no other form for them: a conflict is told without the object's name or a reason, and with
# advice that is not for kprov's users. Source: k8s.io/kubectl v0.35.0 to v0.37.2, pkg/cmd/apply/apply.go and
# pkg/cmd/util/helpers.go (checkErr: the causes of a Status with reason Invalid, one a line); k8s.io/apimachinery,
# pkg/api/validation/objectmeta.go (FieldImmutableErrorMsg) and pkg/api/meta/errors.go; k8s.io/kubernetes,
# pkg/apis/apps/validation/validation.go (updates of a StatefulSet), and structured-merge-diff's typed errors.
_CONFLICTS = re.compile(r"Apply failed with \d+ conflicts?: (.*?)(?=\nPlease review|\Z)", re.DOTALL)
_CONFLICT = re.compile(r"conflicts? with \"([^\"]+)\"[^:\n]*:((?: \.\S+)|(?:\n- \.\S+)+)")
_ADVICE = re.compile(r"\nPlease review the fields above.*?(?:See https://\S*conflicts\b|\Z)", re.DOTALL)
_IMMUTABLE = re.compile(r"field is immutable|updates to \S+ spec for fields other than", re.IGNORECASE)
_INVALID = re.compile(r"(?:The |: )?([\w.]+) \"([^\"]+)\" is invalid: ?([^\n]*(?:\n\* [^\n]*)*)")
_SCHEMA = re.compile(r"failed to create typed patch object \(([^;]*);[^)]*Kind=(\w+)\): ([^\n]*)")
_UNKNOWN = re.compile(
    r"resource mapping not found for name: \"([^\"]*)\"[^\n]*no matches for kind \"(\w+)\" in version \"([^\"]+)\""
)
_WEBHOOK = re.compile(r"failed calling webhook \"([^\"]+)\": ([^\n]*)")
_APPLIED = re.compile(r"^(\S+) serverside-applied$", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """found: every object that was refused, and why. todo: the next step. log: kubectl's words without its advice."""

    found: str
    todo: str
    log: str


def is_immutable(log: str) -> bool:
    """Return whether an object was refused as a field of it cannot be changed."""
    return _IMMUTABLE.search(log) is not None


def explained(addon: str, log: str, sent: Sequence[Identity] = ()) -> Refusal:
    """addon: its name. log: what the host told. sent: the objects that were to be applied, in their order."""
    rows = [row for reader in _READERS for row in reader(addon, log)]
    conflicts = list(_conflicts(log))
    if conflicts:
        rows += zip(
            _named(conflicts, log, sent, rows),
            [_GIVE_UP.format(manager=manager) for manager, _ in conflicts],
            strict=True,
        )
    bare = _ADVICE.sub("", log)
    if not rows:
        todo = f"fix what the log names, then run again; `kprov addons info {addon}` tells what it takes"
        return Refusal(found=_first(bare), todo=todo, log=bare)
    return Refusal(found="; ".join(dict.fromkeys(found for found, _ in rows)), todo=rows[0][1], log=bare)


_Row = tuple[str, str]  # what was found, what to do
_GIVE_UP = "let {manager} have it and take the field out of the add-on, or give it up there, then run again"


def blocked(log: str) -> Refusal | None:
    """Return what is wrong when a webhook refuses kprov's own objects because nobody answers for it; None when none does."""
    rows = list(dict.fromkeys(_webhooks("", log)))
    return Refusal(found="; ".join(found for found, _ in rows), todo=rows[0][1], log=log) if rows else None


def _webhooks(_: str, log: str) -> Iterator[_Row]:
    for name, said in _WEBHOOK.findall(log):
        todo = (
            "start the pods that answer for it. Without them, find its configuration (`kubectl get"
            " validatingwebhookconfigurations,mutatingwebhookconfigurations -o"
            f" custom-columns=KIND:.kind,NAME:.metadata.name,WEBHOOKS:.webhooks[*].name | grep {name}`)"
            " and delete it (`kubectl delete KIND NAME`), then run again. If an add-on of the inventory made it, switch"
            " that off: an add-on's webhooks go before anything else is done"
        )
        yield f"the webhook {name} was asked first and does not answer: {said}", todo


def _invalid(addon: str, log: str) -> Iterator[_Row]:
    for kind, name, said in _INVALID.findall(log):
        why = " ".join(said.replace("\n* ", "; ").strip(" ;").split())
        anew = f"`kprov up --recreate {addon}` deletes what differs of its workloads and makes it again"
        todo = anew if _IMMUTABLE.search(said) else "fix that field in the add-on's manifest, then run again"
        yield f"{kind.partition('.')[0]} {name}: {why}", todo


def _unknown_fields(_: str, log: str) -> Iterator[_Row]:
    for name, kind, said in _SCHEMA.findall(log):
        yield f"{kind} {name}: {said}", "fix that field in the add-on's manifest, then run again"


def _unknown_kinds(_: str, log: str) -> Iterator[_Row]:
    for name, kind, version in _UNKNOWN.findall(log):
        found = f"{kind} {name}: the cluster knows no {kind} of {version}"
        yield (
            found,
            "correct apiVersion and kind, or bring its CustomResourceDefinition with the add-on, then run again",
        )


_READERS: tuple[Callable[[str, str], Iterator[_Row]], ...] = (*(_webhooks, _invalid, _unknown_fields, _unknown_kinds),)


def _conflicts(log: str) -> Iterator[tuple[str, str]]:
    """A manager and a sentence for each object in conflict."""
    for text in _CONFLICTS.findall(log):
        said, managers = [], []
        for manager, fields in _CONFLICT.findall(text):
            names = (
                [name.lstrip("- ") for name in fields.split("\n") if name.strip()]
                if "\n" in fields
                else [fields.strip()]
            )
            many = len(names) > 1
            managers.append(manager)
            said.append(f"the field{'s' if many else ''} {', '.join(names)} belong{'' if many else 's'} to {manager}")
        if said:
            yield managers[0], f"{'; '.join(said)}, another manager; it was left as it is"


def _named(
    conflicts: Sequence[tuple[str, str]], log: str, sent: Sequence[Identity], others: Sequence[_Row]
) -> list[str]:
    """Each conflict with its object: of those that were neither applied nor refused by name, in the order they were sent."""
    applied = set(_APPLIED.findall(log))
    named = " ".join(found for found, _ in others)
    left = [
        key
        for key in sent
        if f"{resource_kind(key)}/{key[3]}" not in applied and not re.search(rf"[ /]{re.escape(key[3])}:", named)
    ]
    if len(left) == len(conflicts):
        return [f"{titled(key)}: {said}" for key, (_, said) in zip(left, conflicts, strict=True)]
    among = f"one of {', '.join(map(titled, left))}: " if left else ""
    return [f"{among}{said}" for _, said in conflicts]


def _first(log: str) -> str:
    lines = [line for line in log.strip().splitlines() if line.strip()]
    return lines[0] if lines else "it failed with no output"
