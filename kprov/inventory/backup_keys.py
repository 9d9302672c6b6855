"""The keys of `cluster.backup`. Shape only, as in schema.py."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from kprov.inventory.fields import PathText, refuse
from kprov.inventory.keys import Keys
from kprov.state.sealed import check_recipient
from kprov.values.effect import free, restarts
from kprov.values.paths import KEPT_BACKUPS

_KEEP = restarts("kprov-backup", note="what is kept no more goes with the next backup")


def _recipient(value: str) -> str:
    try:
        check_recipient(value)
    except ValueError:
        raise refuse(
            "not a public key",
            "age1… as `age-keygen` prints it, or the text of an SSH public key (ssh-ed25519, ssh-rsa)",
        ) from None
    return value


def _span(value: str) -> str:
    if re.fullmatch(r"[1-9][0-9]{0,3}[mhd]", value):
        return value
    raise refuse("not a span of time", "a number of minutes, hours or days: 30m, 6h, 1d")


def seconds(span: str) -> int:
    """Return the seconds of a span as the inventory has it: `6h`."""
    return int(span[:-1]) * {"m": 60, "h": 3600, "d": 86400}[span[-1]]


def _folder(value: str) -> str:
    if re.fullmatch(r"(/[A-Za-z0-9._-]+)+", value) and not {".", ".."} & set(value.split("/")):
        return value
    raise refuse("not a folder on hosts", "an absolute path of letters, digits, '.', '_' and '-': /mnt/backups")


Count = Annotated[int, Field(ge=0, le=1000)]


class KeepKeys(Keys):
    """How many timed backups stay. The newest one always does."""

    last: Count = Field(default=28, description="The last ones, whenever they were taken.", json_schema_extra=_KEEP)
    daily: Count = Field(default=14, description="The newest of each of the last days.", json_schema_extra=_KEEP)
    weekly: Count = Field(default=8, description="The newest of each of the last weeks.", json_schema_extra=_KEEP)
    monthly: Count = Field(default=12, description="The newest of each of the last months.", json_schema_extra=_KEEP)


class BackupKeys(Keys):
    """What is said of backups."""

    to: PathText | None = Field(
        default=None,
        description="Folder that backups are written to; it must be there. Relative paths start at the inventory's "
        "folder. Default: `backups` in the state folder.",
        json_schema_extra=free("backups that are there stay where they are"),
    )
    every: Annotated[str, AfterValidator(_span)] | None = Field(
        default=None,
        description="How often hosts of etcd take a backup by themselves: `30m`, `6h`, `1d`; one of them at a time, and any "
        "takes over. They are encrypted on the host. Default: never.",
        json_schema_extra=restarts("kprov-backup", note="without it, hosts take none any more; those they took stay"),
    )
    folder: Annotated[str, AfterValidator(_folder)] = Field(
        default=KEPT_BACKUPS,
        description="Folder on the hosts of etcd that timed backups are kept in. One of your own must be there, and user "
        "`etcd` must be able to write to it: a share that all of them have mounted.",
        json_schema_extra=restarts("kprov-backup", note="backups that are there stay where they are"),
    )
    keep: KeepKeys = Field(
        default_factory=KeepKeys,
        description="How many timed backups stay; a backup stays that any of these rules keeps.",
    )
    recipients: list[Annotated[str, AfterValidator(_recipient)]] = Field(
        default_factory=list,
        max_length=20,
        description="Public keys that may open backups besides the state folder's: of age (`age1…`) or SSH. With one "
        "of your own, the loss of the state folder is no loss of the cluster.",
        json_schema_extra=free("backups that are there open as before"),
    )
