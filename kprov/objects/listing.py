"""The list of every Kubernetes object that kprov made, kept in the cluster itself: what may be pruned, and nothing else.

Pure. The list is written before an object is made and shortened after one is gone, so that a run that dies in between
leaves nothing that no later run would find.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from kprov.objects.kinds import DATA, departure
from kprov.objects.objects import OWNER, OWNER_LABEL, Identity, Object, ObjectChange, identity, resource_kind

NAMESPACE, NAME = "kube-system", "kprov-objects"
IDENTITY: Identity = ("", "ConfigMap", NAMESPACE, NAME)
# What it was called by kprov 0.1 and earlier: read where there is no other, then it goes.
OLD_NAME = "kprov-inventory"
OLD: Identity = ("", "ConfigMap", NAMESPACE, OLD_NAME)


@dataclass(frozen=True, kw_only=True)
class Departures:
    """What is removed: `changes` are deletions in their order, `kept` holds data and stays."""

    changes: tuple[ObjectChange, ...] = ()
    kept: tuple[Identity, ...] = ()


def list_object(keys: Iterable[Identity]) -> Object:
    """The ConfigMap that lists these objects and, for the next probe, their kinds."""
    rows = sorted(set(keys))
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": NAME, "namespace": NAMESPACE, "labels": {OWNER_LABEL: OWNER}},
        "data": {
            "kinds": ",".join(sorted({resource_kind(key) for key in rows})),
            "objects": "".join("/".join(key) + "\n" for key in rows),
        },
    }


def listed(live: Iterable[Object]) -> frozenset[Identity]:
    """The objects that the list in the cluster names; none when there is no list yet.

    A list with its old name is read where it is the only one, and is named itself, so that it is pruned.
    """
    lists = {key: item for item in live if (key := identity(item)) in (IDENTITY, OLD)}
    item = lists.get(IDENTITY) or lists.get(OLD)
    if item is None:
        return frozenset()
    rows = (tuple(line.split("/")) for line in str(item.get("data", {}).get("objects", "")).splitlines())
    named = frozenset((row[0], row[1], row[2], row[3]) for row in rows if len(row) == 4)
    return named | ({OLD} if OLD in lists else frozenset())


def departures(
    desired: Collection[Identity], live: Sequence[Object], known: Collection[Identity], *, delete_data: bool
) -> Departures:
    """What of kprov's own must go: listed, there, removed, and not made by a controller from what is ours."""
    going = [
        identity(item)
        for item in live
        if identity(item) in known
        and identity(item) not in desired
        and identity(item) != IDENTITY
        and not item["metadata"].get("ownerReferences")
    ]
    kept = [] if delete_data else [key for key in going if key[1] in DATA]
    homes = {key[2] for key in kept}
    kept += [key for key in going if key[1] == "Namespace" and key[3] in homes]
    leaving = sorted((key for key in going if key not in kept), key=lambda key: (departure(key[1]), key))
    return Departures(
        changes=tuple(
            ObjectChange(identity=key, action="delete", reason="removed from the desired state") for key in leaving
        ),
        kept=tuple(sorted(kept)),
    )


def removal(key: Identity, versions: Mapping[Identity, str]) -> Object:
    """The least that names an object to kubectl. versions: apiVersion of what lives."""
    _, kind, namespace, name = key
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    return {"apiVersion": versions[key], "kind": kind, "metadata": metadata}
