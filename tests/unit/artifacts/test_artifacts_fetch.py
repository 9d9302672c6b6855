"""Downloads: whole, resumed, broken, wrong; and never handed out before the checksum is right."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from artifact_progress import Kept
from artifact_server import Site, serving, sha256

from kprov.artifacts.fetch import Downloads, parse_checksum
from kprov.values.errors import ArtifactError

CONTENT = bytes(range(256)) * 4096  # 1 MiB
UPSTREAM = "https://dl.example.org/release/thing"


@pytest.fixture
def site() -> Iterator[Site]:
    with serving(Site()) as site:
        site.files["/release/thing"] = CONTENT
        yield site


@pytest.fixture
def pauses() -> list[float]:
    return []


@pytest.fixture
def downloads(site: Site, pauses: list[float]) -> Iterator[Downloads]:
    downloads = Downloads(site.base, pause=pauses.append)
    yield downloads
    downloads.close()


def get(downloads: Downloads, target: Path, digest: str = sha256(CONTENT)) -> Kept:
    progress = Kept()
    downloads.file(UPSTREAM, digest, target, progress)
    return progress


def test_a_file_comes_through_the_mirror_and_progress_adds_up(downloads: Downloads, site: Site, tmp_path: Path) -> None:
    target = tmp_path / "thing"
    progress = get(downloads, target)
    assert target.read_bytes() == CONTENT
    assert progress.totals == {"thing": len(CONTENT)}
    assert progress.done["thing"] == len(CONTENT)
    assert progress.ended == ["thing"]
    assert site.asked == [("/release/thing", "")]
    assert list(tmp_path.iterdir()) == [target]


def test_a_mirror_keeps_path_and_query_and_may_have_a_path_of_its_own() -> None:
    assert Downloads("https://m.example/base/").url("https://x.org/a/b?c=d") == "https://m.example/base/a/b?c=d"
    assert Downloads().url("https://x.org/a/b?c=d") == "https://x.org/a/b?c=d"


def test_a_connection_that_breaks_is_continued_where_it_broke(
    downloads: Downloads, site: Site, tmp_path: Path, pauses: list[float]
) -> None:
    site.cut["/release/thing"] = [300_000, 200_000]
    progress = get(downloads, tmp_path / "thing")
    assert (tmp_path / "thing").read_bytes() == CONTENT
    starts = [int(asked.removeprefix("bytes=").rstrip("-") or 0) for _, asked in site.asked]
    assert len(starts) == 3
    assert starts == sorted(set(starts))
    assert starts[-1] <= 500_000
    assert progress.done["thing"] == len(CONTENT)
    assert pauses == [1.0, 2.0]


def test_a_piece_of_an_earlier_run_is_continued(downloads: Downloads, site: Site, tmp_path: Path) -> None:
    (tmp_path / "thing.part").write_bytes(CONTENT[:1000])
    get(downloads, tmp_path / "thing")
    assert (tmp_path / "thing").read_bytes() == CONTENT
    assert site.asked == [("/release/thing", "bytes=1000-")]


def test_a_server_without_ranges_sends_it_all_again(downloads: Downloads, site: Site, tmp_path: Path) -> None:
    site.ranges = False
    (tmp_path / "thing.part").write_bytes(CONTENT[:1000])
    get(downloads, tmp_path / "thing")
    assert (tmp_path / "thing").read_bytes() == CONTENT


@pytest.mark.parametrize("piece", [b"rubbish", CONTENT + b"more"])
def test_a_bad_piece_is_thrown_away_once(downloads: Downloads, tmp_path: Path, piece: bytes) -> None:
    (tmp_path / "thing.part").write_bytes(piece)
    get(downloads, tmp_path / "thing")
    assert (tmp_path / "thing").read_bytes() == CONTENT


def test_a_wrong_checksum_leaves_nothing_behind(downloads: Downloads, site: Site, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError) as caught:
        get(downloads, tmp_path / "thing", "f" * 64)
    assert caught.value.found == f"sha256 {sha256(CONTENT)}"
    assert caught.value.needed == f"sha256 {'f' * 64}"
    assert caught.value.where == f"{site.base}/release/thing"
    assert list(tmp_path.iterdir()) == []


def test_a_server_in_trouble_is_asked_again(downloads: Downloads, site: Site, tmp_path: Path) -> None:
    site.status["/release/thing"] = [503, 429]
    get(downloads, tmp_path / "thing")
    assert len(site.asked) == 3


def test_trouble_that_stays_is_an_error_with_the_last_reason(
    downloads: Downloads, site: Site, tmp_path: Path, pauses: list[float]
) -> None:
    site.status["/release/thing"] = [503] * 9
    with pytest.raises(ArtifactError, match="failed 4 times") as caught:
        get(downloads, tmp_path / "thing")
    assert caught.value.found == "HTTP 503"
    assert len(pauses) == 3


def test_a_file_that_is_not_there_is_not_asked_for_twice(downloads: Downloads, site: Site, tmp_path: Path) -> None:
    site.files.clear()
    with pytest.raises(ArtifactError) as caught:
        get(downloads, tmp_path / "thing")
    assert "HTTP 404" in caught.value.found
    assert len(site.asked) == 1


def test_reachable_asks_once(site: Site) -> None:
    with_mirror = Downloads(site.base)
    assert with_mirror.reachable("https://dl.example.org/release/thing")
    assert not with_mirror.reachable("https://dl.example.org/none")  # that something answers is not enough
    direct = Downloads()
    assert direct.reachable(f"{site.base}/release/thing")
    assert not direct.reachable(f"{site.base}/none")
    with_mirror.close()
    direct.close()


def test_nobody_listening_is_not_reachable(site: Site) -> None:
    downloads = Downloads("http://127.0.0.1:1")
    assert not downloads.reachable(UPSTREAM)
    downloads.close()


@pytest.mark.parametrize(
    "text",
    [
        "a" * 64,
        f"{'a' * 64}\n",
        f"{'b' * 64}  other.tgz\n{'a' * 64}  file.tgz\n",
        f"{'a' * 64} *file.tgz",
        f"{'A' * 64}  ./file.tgz",
    ],
)
def test_checksum_files_in_upstreams_shapes(text: str) -> None:
    assert parse_checksum(text, "file.tgz", "here") == "a" * 64


@pytest.mark.parametrize("text", ["", "<html>", f"{'a' * 64}  other.tgz", "abc  file.tgz"])
def test_a_checksum_file_without_the_file_is_an_error(text: str) -> None:
    with pytest.raises(ArtifactError) as caught:
        parse_checksum(text, "file.tgz", "here")
    assert caught.value.needed == "the published sha256 of file.tgz"


def test_a_download_that_is_given_up_keeps_its_piece_for_the_next(site: Site, tmp_path: Path) -> None:
    downloads = Downloads(site.base)

    class GivesUp(Kept):
        def advanced(self, name: str, n: int) -> None:
            if n:
                downloads.cancel()

    with pytest.raises(ArtifactError, match="given up"):
        downloads.file(UPSTREAM, sha256(CONTENT), tmp_path / "thing", GivesUp())
    downloads.close()
    piece = (tmp_path / "thing.part").read_bytes()
    assert piece
    assert CONTENT.startswith(piece)
    assert len(piece) < len(CONTENT)
