"""Places that backups are kept in, as users write them: `sftp://…`, `s3://…`, and everything else a folder. Values only."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_SFTP = re.compile(
    r"sftp://(?:(?P<user>[A-Za-z0-9_][A-Za-z0-9_.-]*)@)?(?P<host>[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?)"
    r"(?::(?P<port>[0-9]{1,5}))?(?P<folder>(?:/[A-Za-z0-9._~-]+)+)/?"
)
_S3 = re.compile(r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?P<prefix>(?:/[A-Za-z0-9._-]+)*)/?")
NEEDED = "a folder, sftp://[USER@]HOST[:PORT]/FOLDER, or s3://BUCKET[/PREFIX]"


@dataclass(frozen=True, kw_only=True)
class SftpAddress:
    """A folder of an SFTP server. folder: absolute, or below the user's own folder, as `~/…`."""

    host: str
    folder: str
    user: str | None = None
    port: int | None = None

    def __str__(self) -> str:
        user = f"{self.user}@" if self.user else ""
        port = f":{self.port}" if self.port else ""
        return f"sftp://{user}{self.host}{port}/{self.folder.removeprefix('/')}"


@dataclass(frozen=True, kw_only=True)
class S3Address:
    """Objects of a bucket whose names begin with the prefix, which ends with `/` where there is one."""

    bucket: str
    prefix: str = ""

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")


@dataclass(frozen=True, kw_only=True)
class SftpSettings:
    """How an SFTP server is reached, besides what the user's own SSH configuration says of it."""

    key: Path | None = None
    host_key: str | None = None


@dataclass(frozen=True, kw_only=True)
class S3Settings:
    """Where an S3-compatible store is and who asks it, besides what AWS's own configuration says.

    ca: what its certificate is issued by. credentials: a file as AWS's own tools read it.
    """

    endpoint: str | None = None
    region: str | None = None
    ca: Path | None = None
    credentials: Path | None = None


Address = SftpAddress | S3Address


def parse(text: str) -> Address | None:
    """Return the store that a text names, None for a folder. Raises ValueError for what looks like a store and is none."""
    if (found := _SFTP.fullmatch(text)) is not None and int(found["port"] or 22) in range(1, 65536):
        folder = found["folder"]
        if not {".", ".."} & set(folder.split("/")) and "~" not in folder.removeprefix("/~"):
            port = int(found["port"]) if found["port"] else None
            return SftpAddress(host=found["host"], folder=_home(folder), user=found["user"], port=port)
    if (found := _S3.fullmatch(text)) is not None and not {".", ".."} & set(found["prefix"].split("/")):
        prefix = found["prefix"].removeprefix("/")
        return S3Address(bucket=found["bucket"], prefix=f"{prefix}/" if prefix else "")
    if "://" in text:
        raise ValueError(NEEDED)
    return None


def _home(folder: str) -> str:
    return folder.removeprefix("/") if folder == "/~" or folder.startswith("/~/") else folder
