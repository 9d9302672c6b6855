"""A bucket of an S3-compatible store that backups are kept in, by boto3, an extra of kprov's.

A file is sent in parts and is an object when the last one has come; nothing is overwritten.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

from kprov.state.backup_place import ENDING, Put
from kprov.state.sealed_stream import Sink
from kprov.values.backup_place import S3Address, S3Settings
from kprov.values.errors import BackupError

_PART = 16 << 20  # bytes in memory; 10,000 of them are an object's limit
_PIECE = 1 << 20
_STALE = timedelta(days=1)  # what a killed one left is removed by then, and nobody's who is still sending
_TRIES = 3
_CONNECT, _READ = 5, 60  # seconds

_REFUSALS = (  # codes of the store, what it means, what to do
    (
        {"AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "403"},
        "the store does not let us in",
        "look at its credentials and what they may do",
    ),
    ({"NoSuchBucket"}, "there is no such bucket", "make it there, or correct its name"),
    ({"NoSuchKey", "404"}, "there is no such backup", "look at `kprov backup list`"),
    (
        {"QuotaExceeded", "XMinioStorageFull", "InsufficientStorage", "507"},
        "the store is full; nothing of the backup is left",
        "make room there, or name another place with --to",
    ),
)


@dataclass(frozen=True)
class S3Place:
    address: S3Address
    settings: S3Settings = field(default_factory=S3Settings)

    @cached_property
    def _client(self) -> Any:
        return _client(self.address, self.settings)

    def where(self, name: str) -> str:
        return f"{self.address}/{name}".rstrip("/")

    def names(self) -> Mapping[str, int]:
        found: dict[str, int] = {}
        with self._told():
            for page in self._client.get_paginator("list_objects_v2").paginate(**self._below(Delimiter="/")):
                for one in page.get("Contents", ()):
                    found[one["Key"].removeprefix(self.address.prefix)] = one["Size"]
        return found

    @contextmanager
    def writing(self, cluster: str) -> Iterator[None]:
        """Two that write at once do not meet before their objects are whole, under names of their own."""
        with self._told():
            begun = self._client.list_multipart_uploads(**self._below(cluster)).get("Uploads", ())
            for one in begun:
                if one["Key"].endswith(ENDING) and datetime.now(UTC) - one["Initiated"] > _STALE:
                    self._client.abort_multipart_upload(
                        Bucket=self.address.bucket, Key=one["Key"], UploadId=one["UploadId"]
                    )
        yield

    def need_room(self, size: int) -> None:
        """No store can be asked: one that is full says so when it is written to."""

    @contextmanager
    def create(self, name: str) -> Iterator[Sink]:
        with self._told():
            self._refuse_taken(name)
            upload = _Upload(self._client, self._object(name))
        try:
            with self._told():
                yield upload
                upload.complete()
        except BaseException:
            upload.abort()
            raise
        with self._told():
            there = self._client.head_object(**self._object(name))["ContentLength"]
        if there != upload.size:
            raise BackupError(
                "the backup did not come whole to the store",
                where=self.where(name),
                found=f"{there} bytes of {upload.size}",
                todo="remove it there, and take another one",
            )

    def head(self, name: str, size: int) -> bytes:
        with self._told(name):
            answer = self._client.get_object(**self._object(name), Range=f"bytes=0-{size - 1}")
            return bytes(answer["Body"].read())

    def bring(self, name: str, put: Put) -> None:
        with self._told(name):
            answer = self._client.get_object(**self._object(name))
            for piece in answer["Body"].iter_chunks(_PIECE):
                put(piece)

    def remove(self, name: str) -> None:
        with self._told(name):
            self._client.delete_object(**self._object(name))

    def _object(self, name: str) -> dict[str, str]:
        return {"Bucket": self.address.bucket, "Key": f"{self.address.prefix}{name}"}

    def _below(self, cluster: str = "", **more: str) -> dict[str, str]:
        beginning = f"{self.address.prefix}{cluster}-" if cluster else self.address.prefix
        return {"Bucket": self.address.bucket, "Prefix": beginning, **more}

    def _refuse_taken(self, name: str) -> None:
        if name in self.names():
            raise BackupError("there is a backup of that name already", where=self.where(name), todo="try it again")

    @contextmanager
    def _told(self, name: str = "") -> Iterator[None]:
        """What the library raises becomes a BackupError."""
        _ = self._client  # tells where the library is not there
        from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped] # an extra

        try:
            yield
        except ClientError as error:
            raise _refused(self, name, error.response) from None
        except BotoCoreError as error:
            raise _away(self.where(name), error) from None


@dataclass(kw_only=False)
class _Upload:
    """What is written to: parts of one object. A short one is sent at once, when it is whole."""

    client: Any
    target: Mapping[str, str]
    size: int = 0
    _id: str = ""
    _parts: list[dict[str, Any]] = field(default_factory=list)
    _rest: bytearray = field(default_factory=bytearray)

    def write(self, data: bytes, /) -> int:
        self._rest += data
        self.size += len(data)
        if len(self._rest) >= _PART:
            self._send()
        return len(data)

    def flush(self) -> None:
        """Parts are sent when they are full."""

    def complete(self) -> None:
        if not self._id:
            self.client.put_object(**self.target, Body=bytes(self._rest))
            return
        if self._rest:
            self._send()
        self.client.complete_multipart_upload(**self.target, UploadId=self._id, MultipartUpload={"Parts": self._parts})
        self._id = ""

    def abort(self) -> None:
        """Forget what came so far. It is done when it can be: the next one removes what stays."""
        if self._id:
            with contextlib.suppress(Exception):
                self.client.abort_multipart_upload(**self.target, UploadId=self._id)

    def _send(self) -> None:
        if not self._id:
            self._id = self.client.create_multipart_upload(**self.target)["UploadId"]
        number = len(self._parts) + 1
        answer = self.client.upload_part(**self.target, UploadId=self._id, PartNumber=number, Body=bytes(self._rest))
        self._parts.append({"PartNumber": number, "ETag": answer["ETag"]})
        self._rest.clear()


def _client(address: S3Address, settings: S3Settings) -> Any:
    """Return who asks the store: what the inventory says goes before AWS's own configuration. Raises BackupError."""
    try:
        import boto3  # type: ignore[import-untyped]
        from botocore.config import Config  # type: ignore[import-untyped]
        from botocore.exceptions import BotoCoreError
    except ImportError:
        raise BackupError(
            "backups cannot be kept in S3 by this installation of kprov",
            where=str(address),
            needed="the library boto3",
            todo="install it beside kprov: pip install boto3",
        ) from None
    config = Config(
        connect_timeout=_CONNECT,
        read_timeout=_READ,
        retries={"mode": "standard", "total_max_attempts": _TRIES},
        # Newer checksums in trailers are what stores of others than AWS refuse; the file itself is authenticated.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    try:
        session = boto3.Session(**_credentials(settings))
        return session.client(
            "s3",
            endpoint_url=settings.endpoint,
            region_name=settings.region or session.region_name or ("us-east-1" if settings.endpoint else None),
            verify=str(settings.ca) if settings.ca else None,
            config=config,
        )
    except (BotoCoreError, ValueError) as error:
        raise _away(str(address), error) from None


def _credentials(settings: S3Settings) -> dict[str, str]:
    """Return the keys of a file as AWS's own tools read it: its profile `default`. Raises BackupError, which quotes none."""
    path = settings.credentials
    if path is None:
        return {}
    try:
        if path.stat().st_mode & 0o077:
            raise BackupError(
                "others may read the credentials of the store",
                where=str(path),
                needed="mode 0600",
                todo=f"chmod 600 {path}",
            )
        return read_credentials(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        found = error.strerror if isinstance(error, OSError) else "no UTF-8 text"
        raise BackupError("the credentials of the store cannot be read", where=str(path), found=found or "") from None


def read_credentials(text: str, where: str) -> dict[str, str]:
    """Return the keys in the text of such a file, by the names that boto3 gives them. Raises BackupError."""
    import configparser

    parser = configparser.RawConfigParser()
    try:
        parser.read_string(text)
        found = dict(parser["default"])
    except (configparser.Error, KeyError):
        found = {}
    names = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
    keys = {name: found[name] for name in names if found.get(name)}
    if not {*names[:2]} <= keys.keys():
        raise BackupError(
            "there are no credentials in this file",
            where=where,
            needed="a profile [default] with aws_access_key_id and aws_secret_access_key",
            todo="write it as the AWS command line does",
        )
    return keys


def _refused(place: S3Place, name: str, response: Mapping[str, Any]) -> BackupError:
    code = str(response.get("Error", {}).get("Code", ""))
    known = next((words for codes, *words in _REFUSALS if code in codes), None)
    what, todo = known or ("the store refuses", "look at what it says, then run the same command again")
    message = str(response.get("Error", {}).get("Message", ""))
    return BackupError(what, where=place.where(name), found=f"{code}: {message}".strip(": "), todo=todo)


def _away(where: str, error: Exception) -> BackupError:
    kind = type(error).__name__
    if kind in ("NoCredentialsError", "PartialCredentialsError", "ProfileNotFound"):
        return BackupError(
            "there are no credentials for the store",
            where=where,
            found=str(error),
            needed="backup.s3.credentials in the inventory, or what AWS's own tools read",
            todo="name the file, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        )
    return BackupError(
        "the store cannot be reached",
        where=where,
        found=str(error),
        todo="look at its address in backup.s3.endpoint, and whether it is up; then run the same command again",
    )
