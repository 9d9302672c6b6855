"""The mirror folder: every file under its own sha256, nothing in it that is something else."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from artifact_progress import Kept

from kprov.artifacts import mirror
from kprov.values.errors import ArtifactError
from kprov.values.resources import Artifact


def made(folder: Path, name: str, content: bytes) -> Artifact:
    path = folder / name
    path.write_bytes(content)
    sha256 = hashlib.sha256(content).hexdigest()
    return Artifact(name=name, version="1.0.0", arch="amd64", sha256=sha256, size=len(content), local=str(path))


def test_files_lie_under_their_sha256_where_hosts_ask_for_them(tmp_path: Path) -> None:
    runc, etcd = made(tmp_path, "runc", b"r" * 5000), made(tmp_path, "etcd", b"e" * 10)
    folder = tmp_path / "www" / "kprov"
    assert mirror.write([runc, etcd], folder, Kept()) == 2
    url = mirror.copy_url("https://mirror.example.org/kprov/", runc.sha256)
    assert url == f"https://mirror.example.org/kprov/sha256/{runc.sha256}"
    target = folder / url.removeprefix("https://mirror.example.org/kprov/")
    assert target.read_bytes() == b"r" * 5000
    assert target.stat().st_mode & 0o777 == 0o644
    assert (folder / "contents.txt").read_text().splitlines() == [
        f"{etcd.sha256}  etcd 1.0.0 amd64",
        f"{runc.sha256}  runc 1.0.0 amd64",
    ]


def test_a_second_call_writes_nothing_and_keeps_what_others_put_there(tmp_path: Path) -> None:
    folder = tmp_path / "www"
    mirror.write([made(tmp_path, "old", b"old")], folder, Kept())
    runc = made(tmp_path, "runc", b"r")
    assert mirror.write([runc], folder, Kept()) == 1
    assert mirror.write([runc], folder, Kept()) == 0
    assert len((folder / "contents.txt").read_text().splitlines()) == 2
    assert len(list((folder / "sha256").iterdir())) == 2


def test_a_damaged_file_in_the_folder_is_written_again(tmp_path: Path) -> None:
    runc = made(tmp_path, "runc", b"right")
    mirror.write([runc], tmp_path / "www", Kept())
    target = tmp_path / "www" / "sha256" / runc.sha256
    target.write_bytes(b"wrong")
    assert mirror.write([runc], tmp_path / "www", Kept()) == 1
    assert target.read_bytes() == b"right"


def test_a_cached_file_that_changed_is_never_served(tmp_path: Path) -> None:
    runc = made(tmp_path, "runc", b"right")
    Path(runc.local).write_bytes(b"wrong")
    with pytest.raises(ArtifactError, match="changed under kprov"):
        mirror.write([runc], tmp_path / "www", Kept())
    assert list((tmp_path / "www" / "sha256").iterdir()) == []


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ArtifactError) as caught:
        mirror.write([], tmp_path / "file", Kept())
    assert str(tmp_path / "file") in caught.value.where
