"""Whether add-ons would change what the API server lets nobody change, before anything is applied. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from kprov.addon.immutable import forbidden_change
from kprov.objects.kinds import RECREATED
from kprov.objects.objects import Object, identity, titled
from kprov.observe.living import objects_of
from kprov.observe.observation import Observation
from kprov.plan.cluster import ClusterPlan
from kprov.preflight.problem import INVENTORY, Problem


def check(plan: ClusterPlan, observations: Mapping[str, Observation]) -> Iterable[Problem]:
    """Yield a problem for each object of an add-on that could not be applied; none while nobody can ask the API."""
    lives = {identity(item): item for item in objects_of(observations) or ()}
    classes = [item for key, item in lives.items() if key[1] == "StorageClass"]
    for addon in plan.addons:
        name = addon.addon.name
        for item in addon.objects:
            live = lives.get(identity(item))
            anew = name in plan.recreate and item["kind"] in RECREATED
            if live is None or anew or live["metadata"].get("deletionTimestamp"):
                continue
            if difference := forbidden_change(item, live, classes):
                yield _refused(name, item, difference)


def _refused(addon: str, item: Object, difference: str) -> Problem:
    kind = item["kind"]
    if kind in RECREATED:
        todo = f"write the old value again; or `kprov up --recreate {addon}`, which deletes it and makes it again; data stays"
    elif kind == "PersistentVolumeClaim":
        todo = (
            "write the old value again; to have another volume, switch the add-on off, remove what is stored with "
            "`kprov up --delete-data`, and switch it on again"
        )
    else:
        todo = f"write the old value again; or delete {titled(identity(item))} with kubectl, and run `kprov up`"
    return Problem(
        name="FixedField",
        host=INVENTORY,
        what=f"{titled(identity(item))} of the add-on {addon} cannot be changed in place",
        found=difference,
        needed="fields that the API server lets nobody change as they are",
        todo=todo,
        key=f"cluster.addons.{addon}",
        ignorable=False,
    )
