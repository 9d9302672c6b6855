"""What all models of an inventory's keys share: strictness, and references to secrets in the place of secrets."""

from __future__ import annotations

from typing import Annotated, Any

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
