"""The cache hands out what was stored, notices what changed, and keeps twins that are true."""

from __future__ import annotations

import gzip
import os
from dataclasses import replace
from pathlib import Path

import pytest

from kprov.artifacts import cache as cache_module
from kprov.artifacts.cache import Cache, Record, compressed, default_root, hash_file, packed
from kprov.artifacts.listing import listing
from kprov.artifacts.needed import needed
from kprov.values.errors import ArtifactError
from kprov.values.model import Cluster
from kprov.values.resources import Artifact

CONTENT = b"program " * 5000
VERSIONS = {
    "kubernetes": "1.37.2", "etcd": "3.7.3", "containerd": "2.3.7", "runc": "1.5.2", "cni-plugins": "1.9.1",
    "coredns": "1.14.7", "pause": "3.10.2",
}  # fmt: skip


NEEDED = needed(Cluster(name="c", versions=VERSIONS, hosts=()))


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


def stored(cache: Cache, content: bytes = CONTENT) -> tuple[Path, Artifact]:
    folder = cache.folder("upstream", "kubelet", "1.37.2", "amd64")
    record = Record(
        name="kubelet", version="1.37.2", arch="amd64", source="upstream", file="kubelet", sha256="", size=0, mtime_ns=0
    )
    with cache.scratch() as scratch:
        made = scratch / "made"
        made.write_bytes(content)
        return folder, cache.store(folder, made, record)


def test_what_is_stored_is_found_as_it_was(cache: Cache) -> None:
    folder, artifact = stored(cache)
    assert cache.find(folder) == artifact
    assert Path(artifact.local).read_bytes() == CONTENT
    assert (artifact.size, artifact.sha256) == (len(CONTENT), hash_file(Path(artifact.local)))
    assert Path(artifact.local).stat().st_mode & 0o777 == 0o755
    assert not list((cache.root / "scratch").iterdir())


def test_what_is_not_there_is_none(cache: Cache) -> None:
    assert cache.find(cache.folder("upstream", "kubelet", "1.37.2", "arm64")) is None
    folder, artifact = stored(cache)
    Path(artifact.local).unlink()
    assert cache.find(folder) is None


def test_an_unchanged_file_is_not_hashed_again(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, _ = stored(cache)
    monkeypatch.setattr(cache_module, "hash_file", lambda path: pytest.fail(f"hashed {path}"))
    assert cache.find(folder) is not None


def test_a_file_that_was_only_touched_is_still_good_and_hashed_once(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, artifact = stored(cache)
    os.utime(artifact.local, (1, 1))
    assert cache.find(folder) == artifact
    monkeypatch.setattr(cache_module, "hash_file", lambda path: pytest.fail(f"hashed {path}"))
    assert cache.find(folder) == artifact


@pytest.mark.parametrize("content", [CONTENT[:-1], CONTENT + b"x", b"X" + CONTENT[1:], b""])
def test_a_corrupted_file_is_put_away_and_named(cache: Cache, content: bytes) -> None:
    folder, artifact = stored(cache)
    Path(artifact.local).write_bytes(content)
    with pytest.raises(ArtifactError) as caught:
        cache.find(folder)
    assert caught.value.where == artifact.local
    assert artifact.sha256 in caught.value.needed
    assert not folder.exists()
    (kept,) = (cache.root / "quarantine").iterdir()
    assert (kept / "kubelet").read_bytes() == content
    assert cache.find(folder) is None  # the next run gets it again


def test_deep_finds_what_hides_behind_an_unchanged_stat_line(cache: Cache) -> None:
    folder, artifact = stored(cache)
    path = Path(artifact.local)
    stat = path.stat()
    path.write_bytes(b"X" + CONTENT[1:])
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert cache.find(folder) is not None
    with pytest.raises(ArtifactError, match="not what was stored"):
        cache.find(folder, deep=True)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"name": "kubelet"}'])
def test_a_record_that_cannot_be_read_is_as_good_as_none(cache: Cache, text: str) -> None:
    folder, _ = stored(cache)
    (folder / "record.json").write_text(text)
    assert cache.find(folder) is None


def test_the_twin_unpacks_to_the_file_and_is_made_once(cache: Cache) -> None:
    _, artifact = stored(cache)
    twin = compressed(artifact)
    assert gzip.decompress(twin.read_bytes()) == CONTENT
    made = twin.stat().st_mtime_ns
    assert compressed(artifact) == twin
    assert twin.stat().st_mtime_ns == made


def test_what_is_pushed_as_it_is_needs_no_twin(cache: Cache) -> None:
    _, artifact = stored(cache)
    assert packed(artifact, compress=False) == (Path(artifact.local), "raw")
    assert not list(Path(artifact.local).parent.glob("*.gz"))
    assert packed(artifact, compress=True) == (compressed(artifact), "gzip")


def test_a_twin_is_never_made_of_other_content(cache: Cache) -> None:
    _, artifact = stored(cache)
    Path(artifact.local).write_bytes(b"other")
    with pytest.raises(ArtifactError, match="changed under kprov"):
        compressed(artifact)
    assert not list(Path(artifact.local).parent.glob("*.gz*"))
    assert not list(Path(artifact.local).parent.glob(".*gz*"))


@pytest.mark.parametrize(
    "content",
    [b"", b"no gzip", gzip.compress(b"other"), gzip.compress(CONTENT)[:-20]],
    ids=["empty", "no archive", "another one", "cut off"],
)
def test_deep_drops_a_twin_that_is_not_true(cache: Cache, content: bytes) -> None:
    folder, artifact = stored(cache)
    twin = compressed(artifact)
    assert cache.find(folder, deep=True) == artifact
    assert twin.exists()
    twin.write_bytes(content)
    assert cache.find(folder, deep=True) == artifact
    assert not twin.exists()


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KPROV_CACHE", str(tmp_path / "own"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert default_root() == tmp_path / "own"
    monkeypatch.delenv("KPROV_CACHE")
    assert default_root() == tmp_path / "xdg/kprov"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_root() == tmp_path / ".cache/kprov"


def test_the_listing_has_a_row_for_each_artifact_and_says_what_is_cached(cache: Cache) -> None:
    _, artifact = stored(cache)
    rows = listing(NEEDED, ["amd64", "arm64"], cache.root)
    assert len(rows) == 2 * 20
    (row,) = [row for row in rows if row.cached]
    assert (row.name, row.arch, row.source, row.size, row.sha256) == (
        "kubelet", "amd64", "upstream", artifact.size, artifact.sha256,
    )  # fmt: skip


def test_the_listing_names_a_corrupted_file_and_goes_on(cache: Cache) -> None:
    _, artifact = stored(cache)
    Path(artifact.local).write_bytes(b"x")
    (row,) = [row for row in listing(NEEDED, ["amd64"], cache.root, deep=True) if row.fault]
    assert not row.cached
    assert artifact.local in row.fault


def test_two_releases_of_one_artifact_do_not_meet(cache: Cache) -> None:
    first = cache.folder("modules", "kubelet", "1.37.2", "amd64", "a" * 16)
    assert first != cache.folder("modules", "kubelet", "1.37.2", "amd64", "b" * 16)
    assert first != cache.folder("upstream", "kubelet", "1.37.2", "amd64")
    _, artifact = stored(cache)
    assert replace(artifact, arch="arm64") != artifact
