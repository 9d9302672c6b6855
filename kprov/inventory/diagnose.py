"""pydantic's errors → mistakes with place, finding, what is accepted and the nearest spelling. Has no rules itself.

After the errors are noted, the faulty values are taken out and the rest is validated again, so that checks across
values can still speak about what is right.
"""

from __future__ import annotations

import re
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from kprov.inventory.keys import reference_names
from kprov.inventory.mistakes import Mark, Mistakes, Path
from kprov.inventory.schema import Inventory
from kprov.inventory.source import Node
from kprov.values.spelling import did_you_mean

_SECRETS = reference_names(Inventory)
_KEYS = ("cluster", "encryption", "providers")
_AUTHORITIES = ("cluster", "pki", "authority")  # whose `key` is a path, and may be mistaken for the key itself
_KINDS = {
    "string_type": "text",
    "int_type": "a whole number",
    "bool_type": "true or false",
    "dict_type": "a mapping (`key: value` lines)",
    "model_type": "a mapping (`key: value` lines)",
    "list_type": "a list ([a, b])",
}
_BOUNDS = {"greater_than_equal": ("at least", "ge"), "less_than_equal": ("at most", "le")}


def shown(node: Node, path: Path) -> str:
    """What stands at a path, masked where a secret may stand."""
    secret = _SECRETS & set(path) or path[:3] == _KEYS or (path[:3] == _AUTHORITIES and path[4:] == ("key",))
    return "something that is not shown, as it may be a secret" if secret else node.found()


def validate(root: Node, mistakes: Mistakes) -> Inventory | None:
    """The inventory as far as its values are right, or None when too little is; mistakes are noted."""
    data = root.plain()
    try:
        return Inventory.model_validate(data)
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)
    for detail in details:
        _note(detail, root, mistakes)
    _prune(data, [(_path(detail), detail["type"] == "missing") for detail in details])
    try:
        return Inventory.model_validate(data)
    except ValidationError:
        return None


def _path(detail: ErrorDetails) -> Path:
    return tuple(step for step in detail["loc"] if step != "[key]")


def _note(detail: ErrorDetails, root: Node, mistakes: Mistakes) -> None:
    kind, path = detail["type"], _path(detail)
    if path in mistakes.spoiled:
        return
    node = root.at(path)
    if kind == "missing":
        parent = path[:-1]
        place = root.key_mark(parent) if parent else Mark(1, 1)
        model = _model_at(parent)
        field = model.model_fields[str(path[-1])] if model else None
        mistakes.add(
            place, "this key is missing", path=path, needed=(field.description or "") if field else "", todo="add it"
        )
        return
    if kind == "extra_forbidden":
        known = _known_keys(path[:-1])
        mistakes.add(
            root.key_mark(path),
            "unknown key",
            path=path,
            needed=f"one of {', '.join(known)}",
            todo=did_you_mean(str(path[-1]), known),
        )
        return
    is_key = detail["loc"][-1:] == ("[key]",)
    what, needed, todo = _words(detail, str(path[-1]) if is_key else node.text, node)
    mistakes.add(
        root.key_mark(path) if is_key else node.mark,
        what,
        path=path,
        found=repr(path[-1]) if is_key else shown(node, path),
        needed=needed,
        todo=todo,
    )


def _words(detail: ErrorDetails, text: str, node: Node) -> tuple[str, str, str]:
    """What is wrong, what is accepted, what to do."""
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "kprov":
        return context["what"], context["needed"], context["todo"]
    if kind == "literal_error":
        known = re.findall(r"'([^']*)'", context["expected"])
        return "not one of the accepted words", f"one of {', '.join(known)}", did_you_mean(text, known)
    if kind in _BOUNDS:
        word, key = _BOUNDS[kind]
        return "out of range", f"{word} {context[key]}", ""
    if kind in _KINDS:
        return "the wrong kind of value", _KINDS[kind], _retype(kind, node)
    return detail["msg"].lower(), "", ""


def _retype(kind: str, node: Node) -> str:
    """How a scalar of another kind is written so that it is taken."""
    if kind == "string_type" and isinstance(node.value, bool | int | float):
        return f'put it into quotes: "{node.text}" (without them YAML reads a number or a switch)'
    if kind in ("int_type", "bool_type") and isinstance(node.value, str):
        unquoted = node.text.isdigit() if kind == "int_type" else node.text in ("true", "false")
        return f"write {node.text} without quotes" if unquoted else ""
    if kind == "list_type" and isinstance(node.value, str):
        return f"write [{node.text}]"
    return ""


def _model_at(path: Path) -> type[BaseModel] | None:
    """The model whose keys stand at a path, found by walking the field types."""
    here: Any = Inventory
    for step in path:
        here = _inside(here, step)
    return _model_of(here)


def _inside(kind: Any, step: str | int) -> Any:
    model = _model_of(kind)
    if model is not None:
        field = model.model_fields.get(str(step))
        return field.annotation if field else None
    return get_args(kind)[-1] if get_args(kind) else None


def _model_of(kind: Any) -> type[BaseModel] | None:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return kind
    if getattr(kind, "__metadata__", None) is not None:
        return _model_of(kind.__origin__)
    return next((found for found in map(_model_of, _union_members(kind)) if found), None)


def _union_members(kind: Any) -> tuple[Any, ...]:
    return get_args(kind) if type(None) in get_args(kind) else ()


def _known_keys(path: Path) -> list[str]:
    model = _model_at(path)
    return list(model.model_fields) if model else []


def _prune(data: Any, faults: list[tuple[Path, bool]]) -> None:
    """Take faulty values out of `data`; where a key is needed and missing, its whole mapping goes."""
    doomed: set[Path] = set()
    for path, missing in faults:
        model = _model_at(path[:-1])
        field = model.model_fields.get(str(path[-1])) if model else None
        needed = missing or (field is not None and field.is_required())
        doomed.add(path[:-1] if needed and path[:1] == ("hosts",) and len(path) > 2 else path)
    for path in sorted(doomed, key=lambda path: tuple(map(_order, path)), reverse=True):
        _remove(data, path)
    if isinstance(data, dict):
        cluster = data.setdefault("cluster", {})
        cluster.setdefault("name", "unnamed")
        data.setdefault("hosts", {})


def _order(step: str | int) -> tuple[int, str]:
    return (step, "") if isinstance(step, int) else (-1, step)


def _remove(data: Any, path: Path) -> None:
    for step in path[:-1]:
        data = data[step]
    if isinstance(data, dict):
        data.pop(path[-1], None)
    elif isinstance(data, list) and isinstance(path[-1], int) and path[-1] < len(data):
        del data[path[-1]]
