"""Only the desired regular files come out of an archive, and only programs for the right machine pass."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest
from artifact_server import program, tar_gz

from kprov.artifacts import elf
from kprov.artifacts.archive import extract
from kprov.values.errors import ArtifactError


def archive(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "a.tar.gz"
    path.write_bytes(content)
    return path


def special(kind: bytes) -> bytes:
    """An archive whose `bin/thing` is no regular file but of that tar type."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        entry = tarfile.TarInfo("bin/thing")
        entry.type, entry.linkname = kind, "/etc/passwd"
        tar.addfile(entry)
    return out.getvalue()


def test_desired_members_come_out_and_nothing_else(tmp_path: Path) -> None:
    source = archive(tmp_path, tar_gz({"../../evil": b"e", "/abs": b"a", "bin/one": b"1", "bin/two": b"2"}))
    extract(source, {"bin/one": tmp_path / "x", "bin/two": tmp_path / "y"})
    assert ((tmp_path / "x").read_bytes(), (tmp_path / "y").read_bytes()) == (b"1", b"2")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tar.gz", "x", "y"]


@pytest.mark.parametrize(("inside", "asked"), [("./bridge", "bridge"), ("bridge", "./bridge")])
def test_a_leading_dot_makes_no_difference(tmp_path: Path, inside: str, asked: str) -> None:
    extract(archive(tmp_path, tar_gz({inside: b"b"})), {asked: tmp_path / "x"})
    assert (tmp_path / "x").read_bytes() == b"b"


def test_a_member_that_is_not_there_is_named_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError) as caught:
        extract(archive(tmp_path, tar_gz({"bin/other": b"o"})), {"bin/thing": tmp_path / "x"})
    assert "bin/thing" in caught.value.what
    assert caught.value.found == "bin/other"


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_folders_and_devices_are_refused(tmp_path: Path, kind: bytes) -> None:
    with pytest.raises(ArtifactError, match="not what a program can be"):
        extract(archive(tmp_path, special(kind)), {"bin/thing": tmp_path / "x"})
    assert not (tmp_path / "x").exists()


def test_a_member_beyond_the_limit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="not what a program can be"):
        extract(archive(tmp_path, tar_gz({"big": bytes(101)})), {"big": tmp_path / "x"}, limit=100)


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>", tar_gz({"bin/thing": bytes(10**6)})[:500]])
def test_a_broken_archive_is_an_error_of_ours(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(ArtifactError):
        extract(archive(tmp_path, content), {"bin/thing": tmp_path / "x"})


@pytest.mark.parametrize("arch", ["amd64", "arm64"])
def test_a_program_for_its_architecture_passes(tmp_path: Path, arch: str) -> None:
    path = tmp_path / "p"
    path.write_bytes(program("p", arch))
    assert elf.machine(path) == arch
    elf.require(path, "p", arch, "here")


@pytest.mark.parametrize(
    ("content", "found"), [(program("p", "arm64"), "for arm64"), (b"#!/bin/sh\n", "not an ELF"), (b"", "not an ELF")]
)
def test_another_machines_program_or_none_at_all_is_refused(tmp_path: Path, content: bytes, found: str) -> None:
    path = tmp_path / "p"
    path.write_bytes(content)
    with pytest.raises(ArtifactError) as caught:
        elf.require(path, "kubelet", "amd64", "https://here")
    assert found in caught.value.found
    assert caught.value.where == "https://here"
