"""Which way an artifact gets to a host, and what `delivery: download` refuses."""

from __future__ import annotations

from dataclasses import replace

import pytest
from observed import bare, in_order, planned

from kprov.observe.observation import Observation
from kprov.plan import delivery
from kprov.plan.delivery import Download
from kprov.plan.desired import expand
from kprov.values.errors import PreflightError
from kprov.values.resources import Artifact, Binary, Image

RUNC = Artifact(name="runc", version="1.5.2", arch="amd64", sha256="a" * 64, size=1, local="/c/runc")
UPSTREAM = "https://example.org/runc.amd64"
COPY = f"https://mirror.example.org/sha256/{'a' * 64}"


def desired(artifact: Artifact) -> dict[str, tuple[object, ...]]:
    image = replace(artifact, name="image-pause", sha256="b" * 64, url="", copy="https://mirror.example.org/sha256/b")
    binary = Binary(path="/opt/kprov/bin/runc", artifact=artifact)
    return expand({"host": [binary, Image(reference="pause:1", artifact=image)]})  # type: ignore[list-item, return-value]


def test_the_installed_file_itself_is_better_than_what_it_has_to_be_unpacked_from() -> None:
    packed = replace(RUNC, url="https://example.org/x.tgz", url_sha256="c" * 64, member="bin/runc", copy=COPY)
    copy = Download(url=COPY, sha256="a" * 64)
    archive = Download(url="https://example.org/x.tgz", sha256="c" * 64, encoding="archive", member="bin/runc")
    assert delivery.downloads(packed) == (copy, archive)
    assert delivery.chosen(packed, {COPY, archive.url}) == copy
    assert delivery.chosen(packed, {archive.url}) == archive
    assert delivery.chosen(packed, ()) is None


def test_what_was_built_here_can_only_be_pushed_without_a_mirror() -> None:
    assert delivery.downloads(RUNC) == ()
    assert delivery.downloads(replace(RUNC, url=UPSTREAM)) == (Download(url=UPSTREAM, sha256="a" * 64),)


def test_a_host_is_asked_only_about_what_it_lacks() -> None:
    stages = desired(replace(RUNC, url=UPSTREAM))
    whole = in_order(stages, planned(stages, bare()))  # type: ignore[arg-type]
    whole = replace(whole, images={"pause:1": False})
    assert delivery.lacking(stages, whole) == ()  # type: ignore[arg-type]
    assert [item.name for item in delivery.lacking(stages, bare())] == ["runc", "image-pause"]  # type: ignore[arg-type]
    state = whole.files["/opt/kprov/bin/runc"]
    older = replace(whole, files={**whole.files, "/opt/kprov/bin/runc": replace(state, sha256="d" * 64)})
    lacking = delivery.lacking(stages, older)  # type: ignore[arg-type]
    assert delivery.urls(lacking) == (UPSTREAM,)


def require(artifact: Artifact, seen: Observation) -> None:
    delivery.require_downloads({"one": planned(desired(artifact), seen)}, {"one": seen})  # type: ignore[arg-type]


def test_download_is_refused_with_host_url_and_what_to_do() -> None:
    seen = replace(bare(), out_of_reach={UPSTREAM: "HTTP 404"})
    with pytest.raises(PreflightError) as caught:
        require(replace(RUNC, url=UPSTREAM), seen)
    text = str(caught.value)
    for words in ("nothing was touched", "one", "runc 1.5.2", UPSTREAM, "HTTP 404", "artifacts.delivery", "curl -I"):
        assert words in text
    with pytest.raises(PreflightError, match=r"no artifacts\.mirror"):
        require(RUNC, bare())


def test_download_passes_when_every_program_can_be_had_and_images_are_not_asked_for() -> None:
    require(replace(RUNC, url=UPSTREAM), replace(bare(), reachable=frozenset({UPSTREAM})))


def test_a_long_refusal_names_some_files_and_counts_the_others() -> None:
    programs = [
        Binary(path=f"/opt/kprov/bin/p{number}", artifact=replace(RUNC, name=f"p{number}")) for number in range(11)
    ]
    stages = expand({"host": programs})
    with pytest.raises(PreflightError, match=r"p7.*3 more"):
        delivery.require_downloads({"one": planned(stages, bare())}, {"one": bare()})
