"""The keys of `cluster.backup`. Shape only, as in schema.py."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from kprov.inventory.fields import HostKey, PathText, path_text, refuse
from kprov.inventory.keys import Keys
from kprov.state.sealed import check_recipient
from kprov.values.backup_place import parse
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


def _place(value: str) -> str:
    try:
        store = parse(value)
    except ValueError as error:
        raise refuse("not a place for backups", str(error)) from None
    return value if store is not None else path_text(value)


def _endpoint(value: str) -> str:
    if re.fullmatch(r"https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?/?", value):
        return value
    raise refuse("not an address of a store", "https://HOST or https://HOST:PORT")


def _region(value: str) -> str:
    if re.fullmatch(r"[a-z0-9-]{2,40}", value):
        return value
    raise refuse("not a region", "its name as the store has it, such as eu-central-1")


Count = Annotated[int, Field(ge=0, le=1000)]


class KeepKeys(Keys):
    """How many timed backups stay. The newest one always does."""

    last: Count = Field(default=28, description="The last ones, whenever they were taken.", json_schema_extra=_KEEP)
    daily: Count = Field(default=14, description="The newest of each of the last days.", json_schema_extra=_KEEP)
    weekly: Count = Field(default=8, description="The newest of each of the last weeks.", json_schema_extra=_KEEP)
    monthly: Count = Field(default=12, description="The newest of each of the last months.", json_schema_extra=_KEEP)


_WAY = free("backups that are there stay where they are")


class SftpKeys(Keys):
    """How the SFTP server of `to` is reached. What is not said here is as the user's SSH configuration has it."""

    key: PathText | None = Field(
        default=None,
        description="Private key that is offered, and no other. Relative paths start at the inventory's folder.",
        json_schema_extra=_WAY,
    )
    host_key: HostKey | None = Field(
        default=None, description="The server's public key; only this one is trusted.", json_schema_extra=_WAY
    )


class S3Keys(Keys):
    """Where the bucket of `to` is. What is not said here is as AWS's own tools read it."""

    endpoint: Annotated[str, AfterValidator(_endpoint)] | None = Field(
        default=None,
        description="Address of an S3-compatible store: `https://HOST[:PORT]`. Default: AWS.",
        json_schema_extra=_WAY,
    )
    region: Annotated[str, AfterValidator(_region)] | None = Field(
        default=None, description="Region of the bucket.", json_schema_extra=_WAY
    )
    ca: PathText | None = Field(
        default=None, description="CA certificate of the store, as PEM. Default: the system's.", json_schema_extra=_WAY
    )
    credentials: PathText | None = Field(
        default=None,
        description="File of mode 0600 with `[default]`, `aws_access_key_id` and `aws_secret_access_key`. Default: what "
        "AWS's own tools read: environment, `~/.aws`.",
        json_schema_extra=_WAY,
    )


class BackupKeys(Keys):
    """What is said of backups."""

    to: Annotated[str, AfterValidator(_place)] | None = Field(
        default=None,
        description="Where `kprov backup` writes to: a folder, `sftp://[USER@]HOST[:PORT]/FOLDER`, or "
        "`s3://BUCKET[/PREFIX]`; it must be there. Relative paths start at the inventory's folder. Default: `backups` in "
        "the state folder.",
        json_schema_extra=_WAY,
    )
    sftp: SftpKeys = Field(default_factory=SftpKeys, description="How the SFTP server is reached.")
    s3: S3Keys = Field(default_factory=S3Keys, description="Where the S3-compatible store is, and who asks it.")
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
        description="How many timed backups stay, and what `kprov backup prune` leaves; a backup stays that any of these "
        "rules keeps.",
    )
    recipients: list[Annotated[str, AfterValidator(_recipient)]] = Field(
        default_factory=list,
        max_length=20,
        description="Public keys that may open backups besides the state folder's: of age (`age1…`) or SSH. With one "
        "of your own, the loss of the state folder is no loss of the cluster.",
        json_schema_extra=free("backups that are there open as before"),
    )
