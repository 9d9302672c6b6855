"""Places for backups as users write them."""

from __future__ import annotations

import pytest

from kprov.values.backup_place import S3Address, SftpAddress, parse


@pytest.mark.parametrize(
    ("text", "store"),
    [
        ("/mnt/backups", None),
        ("backups", None),
        ("sftp://store/srv/b", SftpAddress(host="store", folder="/srv/b")),
        (
            "sftp://b.x@store.example.org:2222/srv/b/",
            SftpAddress(host="store.example.org", folder="/srv/b", user="b.x", port=2222),
        ),
        ("sftp://store/~", SftpAddress(host="store", folder="~")),
        ("sftp://store/~/b", SftpAddress(host="store", folder="~/b")),
        ("s3://bucket", S3Address(bucket="bucket")),
        ("s3://my.bucket-1/some/where/", S3Address(bucket="my.bucket-1", prefix="some/where/")),
    ],
)
def test_a_place_is_read(text: str, store: object) -> None:
    assert parse(text) == store
    if store is not None:
        assert parse(str(store)) == store


@pytest.mark.parametrize(
    "text",
    ["sftp://store", "sftp://store/", "sftp://-o/x", "sftp://store:0/x", "sftp://store:70000/x", "sftp://store/a/../b",
     "sftp://store/a/~b", "sftp://u:secret@store/x", "s3://", "s3://B", "s3://bucket/../x", "https://store/x",
     "sftp://a b/x"],
)  # fmt: skip
def test_what_looks_like_a_store_and_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="s3://BUCKET"):
        parse(text)
