"""What an inventory says of add-ons → those that are on, with every parameter checked. Each mistake at its own place."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

from kprov.addon.describe import described, is_own, shelf
from kprov.addon.exposure import filled, why_not_exposed
from kprov.addon.published import located
from kprov.values.addon import MANIFEST, Addon, AddonImage, AddonProgram, Description, Parameter, is_url
from kprov.values.errors import AddonError
from kprov.values.spelling import did_you_mean

VERSION = "version"  # the key that chooses a version, beside the parameters
Entry = bool | Mapping[str, Any]
_DURATION = re.compile(r"[1-9][0-9]{0,5}(s|m|h|d|w|y)")
_SIZE = re.compile(r"[1-9][0-9]{0,6}(Mi|Gi|Ti)")


Caution = Callable[[tuple[str, ...], str], None]  # path below `addons`, what to know


class Faults(Protocol):
    """Where mistakes are noted: the path is that below `addons`."""

    def __call__(
        self, path: tuple[str, ...], what: str, *, needed: str = "", todo: str = "", found: str = ""
    ) -> None: ...


def chosen(
    entries: Mapping[str, Entry],
    folder: Path | None,
    fault: Faults,
    secret: Callable[[tuple[str, ...], Any], Any],
    base: Path = Path(),
    kubernetes: tuple[int, int] | None = None,
    caution: Caution = lambda _path, _what: None,
) -> tuple[Addon, ...]:
    """The add-ons that are on, in the order of their names, those that others need first.

    Args:
        entries: what stands under `addons`: true, false, or a mapping of parameters.
        folder: `addons` beside the inventory, or None.
        fault: notes a mistake.
        secret: reads a parameter of type secret; it notes its own mistakes and returns None then.
        base: where relative paths of manifests start.
        kubernetes: the cluster's minor version, which decides the default version of some; None: the newest.
        caution: notes what to know of a value that is taken.
    """
    shelves = shelf(folder)
    descriptions: dict[str, Description] = {}
    for name in sorted({*entries, *shelves}):
        if name not in shelves:
            fault((name,), "there is no such add-on", **_among(name, shelves))
        elif name in entries or is_own(shelves[name]):
            try:
                descriptions[name] = described(shelves[name], own=is_own(shelves[name]))
            except AddonError as error:
                fault((name,), str(error))
    on = {
        name: _chosen(description, entries.get(name, True), fault, caution, secret, base, kubernetes)
        for name, description in descriptions.items()
        if entries.get(name, description.default) is not False
    }
    for name, addon in on.items():
        for other in addon.description.needs:
            if other not in on:
                fault((name,), f"it needs the add-on {other}, which is off", todo=f"add `{other}: true` below addons")
    return tuple(on[name] for name in _ordered(on))


def by_name(names: Iterable[str], kubernetes: tuple[int, int] | None = None) -> tuple[Addon, ...]:
    """kprov's own add-ons of these names, or NAME=VERSION, and those that are on by default. Raises AddonError.

    kubernetes: as in `chosen`.
    """

    def fault(path: tuple[str, ...], what: str, *, needed: str = "", todo: str = "", found: str = "") -> None:
        raise AddonError(what, found=found or ".".join(path), needed=needed, todo=todo)

    words = [name.partition("=") for name in names]
    entries: dict[str, Entry] = {name: {VERSION: version} if equals else True for name, equals, version in words}
    return chosen(entries, None, fault, lambda _path, _value: None, kubernetes=kubernetes)


def _ordered(on: Mapping[str, Addon]) -> Iterable[str]:
    done: dict[str, None] = {}

    def visit(name: str, above: tuple[str, ...]) -> None:
        if name in on and name not in done and name not in above:
            for other in on[name].description.needs:
                visit(other, (*above, name))
            done[name] = None

    for name in on:
        visit(name, ())
    return done


def _among(word: str, known: Iterable[str]) -> dict[str, str]:
    names = sorted(known)
    return {"needed": f"one of {', '.join(names)}", "todo": did_you_mean(word, names)}


def _chosen(
    description: Description,
    entry: Entry,
    fault: Faults,
    caution: Caution,
    secret: Callable[[tuple[str, ...], Any], Any],
    base: Path,
    kubernetes: tuple[int, int] | None,
) -> Addon:
    given = dict(entry) if isinstance(entry, Mapping) else {}
    version = _version(description, given.pop(VERSION, None), fault, kubernetes)
    for name, row in description.parameters.items():
        if row.required and name not in given:
            fault((description.name,), f"the parameter {name} is missing", needed=row.description)
    values = {name: parameter.default for name, parameter in description.parameters.items()}
    for name, value in given.items():
        path = (description.name, name)
        parameter = description.parameters.get(name)
        if parameter is None:
            # Its value is not shown: it may be a secret below a misspelled name.
            fault(path, "there is no such parameter", found=name, **_among(name, [*description.parameters, VERSION]))
        elif parameter.type == "secret":
            values[name] = secret(path, value)
        elif parameter.type == "exposure":
            wrongs = tuple(why_not_exposed(parameter, value))
            for one in wrongs:
                fault((*path, *one.at), one.what, needed=one.needed, todo=one.todo)
            values[name] = None if wrongs else filled(value)
        elif wrong := why_not(parameter, value):
            fault(path, wrong[0], needed=wrong[1])
        else:
            values[name] = value
            if isinstance(value, str) and value in parameter.cautions:
                caution(path, parameter.cautions[value])
    parts = description.versions.get(version, {})
    return Addon(
        description=description,
        version=version,
        parameters=MappingProxyType(values),
        images=tuple(
            AddonImage(name=name, version=parts[name], entry=entry) for name, entry in description.images.items()
        )
        if parts
        else (),
        programs=tuple(
            AddonProgram(name=name, version=parts[name], component=component)
            for name, component in description.programs.items()
        )
        if parts
        else (),
        manifest=_manifest(description, version, values, fault, base),
    )


def _manifest(description: Description, version: str, values: Mapping[str, Any], fault: Faults, base: Path) -> str:
    """Where upstream's manifest is; a path must be that of a file."""
    if not description.manifest:
        return ""
    from kprov.addon.render import location  # templates are slow to load, and few add-ons need them here

    text = location(description, version, values)
    if not text:
        what = "kprov does not know a manifest of this add-on"
        fault((description.name,), what, found=f"no `{MANIFEST}`", todo=description.advice)
        return ""
    found = located(text, base)
    if not is_url(found) and not Path(found).is_file():
        needed = "http:// or https:// without credentials, or the path of a file, relative to the inventory's folder"
        fault((description.name, MANIFEST), "neither a URL nor a file", needed=needed)
    return found


def _version(description: Description, given: Any, fault: Faults, kubernetes: tuple[int, int] | None) -> str:
    versions = list(description.versions)
    least = description.needs_kubernetes
    fitting = [version for version in versions if kubernetes is None or least.get(version, (0, 0)) <= kubernetes]
    default = next(iter(fitting or versions), "")
    if given in versions and given not in fitting:
        fault(
            (description.name, VERSION),
            "this version is for a newer Kubernetes",
            needed=f"Kubernetes {'.'.join(map(str, least[given]))} or later",
            todo=f"write {default}, or leave it out" if fitting else "",
        )
        return default
    if given is None or (isinstance(given, str) and given in versions):
        return given or default
    path = (description.name, VERSION)
    if not isinstance(given, str):
        fault(path, "a version is text", needed=f"one of {', '.join(versions)}", todo="put it into quotes")
    elif not versions:
        fault(path, "this add-on has no versions", todo="remove the key")
    else:
        fault(path, "this version is not in the catalog", **_among(given, versions))
    return default


def why_not(parameter: Parameter, value: Any) -> tuple[str, str] | None:
    """Why a value will not do, and what is needed; None when it will."""
    match parameter.type:
        case "integer":
            if not isinstance(value, int) or isinstance(value, bool):
                return "the wrong kind of value", "a whole number"
            if parameter.minimum is not None and value < parameter.minimum:
                return "out of range", f"at least {parameter.minimum}"
            if parameter.maximum is not None and value > parameter.maximum:
                return "out of range", f"at most {parameter.maximum}"
            return None
        case "boolean":
            return None if isinstance(value, bool) else ("the wrong kind of value", "true or false")
        case "list":
            return _why_no_list(parameter, value)
        case "mapping":
            return None if isinstance(value, dict) else ("the wrong kind of value", "a mapping (`key: value` lines)")
        case _:
            return _why_no_text(parameter, value)


def _why_no_list(parameter: Parameter, value: Any) -> tuple[str, str] | None:
    if not isinstance(value, list):
        return "the wrong kind of value", "a list ([a, b])"
    for item in map(str, value):
        for pattern, why in parameter.refused.items():
            if re.fullmatch(pattern, item):
                return f"{item} cannot be set here", why
    return None


def _why_no_text(parameter: Parameter, value: Any) -> tuple[str, str] | None:
    if not isinstance(value, str):
        return "the wrong kind of value", "text"
    if parameter.type == "choice" and value not in parameter.choices:
        return "not one of the accepted words", f"one of {', '.join(parameter.choices)}"
    if parameter.type == "duration" and not _DURATION.fullmatch(value):
        return "not a duration", "a number with s, m, h, d, w or y, such as 14d"
    if parameter.type == "size" and not _SIZE.fullmatch(value):
        return "not a size", "a number with Mi, Gi or Ti, such as 10Gi"
    if parameter.pattern and not re.fullmatch(parameter.pattern, value):
        return "not of the right form", f"text that matches {parameter.pattern}"
    return None
