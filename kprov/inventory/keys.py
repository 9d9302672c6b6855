"""What all models of an inventory's keys share: strictness, and references to secrets in the place of secrets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from kprov.inventory.fields import PathText, VariableName, refuse
from kprov.values.effect import free


class Keys(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class SecretReference(Keys):
    """Where a secret is read when the inventory is loaded: exactly one of the two keys."""

    env: VariableName | None = Field(
        default=None,
        description="Name of an environment variable of the operator's shell.",
        json_schema_extra=free("what the secret is for counts, not where it stands"),
    )
    file: PathText | None = Field(
        default=None,
        description="Path of a file of the operator; relative paths start at the inventory's folder. "
        "A line break at its end is not part of the secret.",
        json_schema_extra=free("what the secret is for counts, not where it stands"),
    )


def _only_reference(value: Any) -> Any:
    if isinstance(value, dict | SecretReference):
        return value
    raise refuse(
        "a password may not stand in the inventory, which is copied, shown and committed",
        "a reference",
        "write `{env: NAME}` for an environment variable or `{file: PATH}` for a file with mode 0600",
    )


Reference = Annotated[SecretReference, BeforeValidator(_only_reference)]


def reference_names(keys: type[BaseModel]) -> frozenset[str]:
    """Return the names of all keys, at any depth, whose value is a reference to a secret."""
    found: set[str] = set()
    for name, field in keys.model_fields.items():
        inner = list(_types(field.annotation))
        if SecretReference in inner:
            found.add(name)
        found |= {one for kind in inner if issubclass(kind, Keys) for one in reference_names(kind)}
    return frozenset(found)


def _types(annotation: Any) -> Iterator[type]:
    """The classes in an annotation."""
    if arguments := get_args(annotation):
        for argument in arguments:
            yield from _types(argument)
    elif isinstance(annotation, type):
        yield annotation
