"""An add-on whose objects upstream publishes as one manifest: where that is, and what is set in it. Pure; it fetches nothing.

The manifest stays upstream's: a short table of the add-on says which of its values are the cluster's.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from kprov.values.addon import Addon, Setting, is_url
from kprov.values.errors import AddonError


def located(text: str, base: Path) -> str:
    """A URL as it is, a path made absolute; relative ones start at `base`."""
    return text if is_url(text) else str((base / Path(text).expanduser()).absolute())


def adjusted(addon: Addon, objects: Iterable[Mapping[str, Any]], texts: Mapping[Setting, str]) -> list[dict[str, Any]]:
    """Upstream's objects with the add-on's settings in them.

    texts: the values of settings that are templates, filled in. Left out: what the API server keeps for itself
    (`status`), keys without a value, as generators write them, and the namespace that kprov makes. Raises AddonError
    when the manifest has not what a setting is about.
    """
    found = [_valued({**item, "status": None}) for item in objects if not _is_namespace_of(addon, item)]
    named = {f"{item['kind']}/{item['metadata']['name']}": item for item in found}
    for setting in addon.description.settings:
        value = addon.parameters.get(setting.parameter) if setting.parameter else texts[setting]
        if value is None:
            continue
        if setting.object not in named:
            raise _missing(addon, setting.object, f"one of {', '.join(sorted(named))}" if len(named) < 20 else "")
        _set(addon, named[setting.object], setting, value)
    return found


def _valued(item: Any) -> Any:
    """A copy without keys that have no value."""
    if isinstance(item, Mapping):
        return {key: _valued(value) for key, value in item.items() if value is not None}
    return [_valued(one) for one in item] if isinstance(item, list) else item


def _is_namespace_of(addon: Addon, item: Mapping[str, Any]) -> bool:
    return bool(item["kind"] == "Namespace" and item["metadata"]["name"] == addon.namespace)


def _set(addon: Addon, item: dict[str, Any], setting: Setting, value: Any) -> None:
    if not setting.container:
        _place(addon, setting, item, setting.at, value)
        return
    pod = item.get("spec", {}).get("template", {}).get("spec", {})
    containers = [*pod.get("initContainers", ()), *pod.get("containers", ())]
    container = next((one for one in containers if one.get("name") == setting.container), None)
    if container is None:
        raise _missing(addon, f"container {setting.container} of {setting.object}")
    if setting.env:
        rows = container.setdefault("env", [])
        rows[:] = [row for row in rows if row["name"] != setting.env] + [{"name": setting.env, "value": str(value)}]
    else:
        flag = f"{setting.argument}="
        words = container.setdefault("args", [])
        words[:] = [word for word in words if not str(word).startswith(flag)] + [f"{flag}{value}"]


def _place(addon: Addon, setting: Setting, here: Any, steps: Sequence[str], value: Any) -> None:
    """Sets what the last step names. A text on the way is JSON: it is opened, changed and closed again."""
    step, *rest = steps
    if not isinstance(here, dict):
        raise _missing(addon, f"{'.'.join(setting.at)} of {setting.object}")
    if not rest:
        here[step] = value
        return
    inside = here.get(step)
    if not isinstance(inside, str):
        _place(addon, setting, inside, rest, value)
        return
    try:
        document = json.loads(inside)
    except ValueError:
        raise _missing(addon, f"JSON in {'.'.join(setting.at[: -len(rest)])} of {setting.object}") from None
    _place(addon, setting, document, rest, value)
    here[step] = json.dumps(document, indent=2) + "\n"


def _missing(addon: Addon, what: str, found: str = "") -> AddonError:
    return AddonError(
        f"the manifest of the add-on {addon.name} has no {what}",
        where=addon.manifest,
        found=found,
        needed="a manifest of the shape that upstream publishes for that version",
        todo=f"choose another `version` or `manifest` below addons.{addon.name}",
    )
