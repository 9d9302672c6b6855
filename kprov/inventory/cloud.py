"""`cloud:` of an inventory → the add-on that is its controller, and what hosts say of themselves checked against it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kprov.addon.describe import shelf
from kprov.inventory.review import Review
from kprov.values.addon import Addon
from kprov.values.model import CloudSettings
from kprov.values.spelling import did_you_mean

PREFIX = "cloud-"


def settings(review: Review) -> CloudSettings | None:
    keys = review.inventory.cluster.cloud
    return None if keys is None else CloudSettings(provider=keys.provider)


def entries(review: Review, folder: Path | None) -> tuple[Mapping[str, bool | dict[str, Any]], str]:
    """What is on or off: what stands under `addons`, and the controller of `cloud`; and that one's name, or empty.

    folder: `addons` beside the inventory, or None. Mistakes are noted.
    """
    cluster = review.inventory.cluster
    desired = dict(cluster.addons)
    for name in [name for name in desired if name.startswith(PREFIX)]:
        review.fault(
            ("cluster", "addons", name),
            "a cloud's controller is switched on by `cloud:`",
            todo=f"write `cloud: {{provider: {name.removeprefix(PREFIX)}, …}}` below cluster, and remove this",
        )
        del desired[name]
    chosen = settings(review)
    if chosen is None or cluster.cloud is None:
        return desired, ""
    known = [name.removeprefix(PREFIX) for name in shelf(folder) if name.startswith(PREFIX)]
    if chosen.provider not in known:
        review.fault(
            ("cluster", "cloud", "provider"),
            "there is no controller for this cloud",
            needed=f"one of {', '.join(sorted(known))}",
            todo=did_you_mean(chosen.provider, known)
            or f"or put yours into addons/{chosen.addon} beside the inventory",
        )
        return desired, ""
    return {**desired, chosen.addon: dict(cluster.cloud.model_extra or {})}, chosen.addon


def check_hosts(review: Review, addons: tuple[Addon, ...]) -> None:
    """What hosts say the cloud calls them: in the right form, no two the same, and not without a cloud."""
    cloud = settings(review)
    controller = next((addon for addon in addons if cloud is not None and addon.name == cloud.addon), None)
    ids = controller.description.cloud_ids if controller is not None else None
    seen: dict[str, str] = {}
    for name, host in review.inventory.hosts.items():
        given, path = host.provider_id, ("hosts", name, "provider_id")
        if given is None:
            continue
        if cloud is None:
            review.fault(path, "a provider ID without a cloud", todo="write `cloud: {provider: …}` below cluster")
        elif ids is not None and not re.fullmatch(ids.pattern, given):
            review.fault(path, f"not how {cloud.provider} names a machine", needed=f"text such as {ids.example}")
        if given in seen:
            review.fault(path, f"host {seen[given]} has the same one", needed="one of its own for each machine")
        seen.setdefault(given, name)
