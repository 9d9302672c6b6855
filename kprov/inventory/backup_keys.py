"""The keys of `cluster.backup`. Shape only, as in schema.py."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from kprov.inventory.fields import PathText, refuse
from kprov.inventory.keys import Keys
from kprov.state.sealed import check_recipient
from kprov.values.effect import free


def _recipient(value: str) -> str:
    try:
        check_recipient(value)
    except ValueError:
        raise refuse(
            "not a public key",
            "age1… as `age-keygen` prints it, or the text of an SSH public key (ssh-ed25519, ssh-rsa)",
        ) from None
    return value


class BackupKeys(Keys):
    """What is said of backups."""

    to: PathText | None = Field(
        default=None,
        description="Folder that backups are written to; it must be there. Relative paths start at the inventory's "
        "folder. Default: `backups` in the state folder.",
        json_schema_extra=free("backups that are there stay where they are"),
    )
    recipients: list[Annotated[str, AfterValidator(_recipient)]] = Field(
        default_factory=list,
        max_length=20,
        description="Public keys that may open backups besides the state folder's: of age (`age1…`) or SSH. With one "
        "of your own, the loss of the state folder is no loss of the cluster.",
        json_schema_extra=free("backups that are there open as before"),
    )
