"""What is said of the time that builds take, before the first of them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from artifact_progress import Kept

from kprov.artifacts import build, catalog, forecast
from kprov.artifacts.cache import Cache
from kprov.artifacts.catalog import resolve_versions
from kprov.values.resources import Artifact

VERSIONS = resolve_versions("1.37")
TARGETS = [build.component_target(name, VERSIONS[name]) for name in ("kubernetes", "etcd")]


@pytest.fixture(autouse=True)
def two_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})


def in_cache(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    found: dict[str, Artifact] = {}
    monkeypatch.setattr(build, "find", lambda target, *_: found if target.name in names else None)


def told(tmp_path: Path) -> list[str]:
    progress = Kept()
    forecast.tell(TARGETS, "amd64", Cache(tmp_path), progress)
    return progress.notes


def test_each_build_and_the_whole_are_told_before_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_cache(monkeypatch)
    (note,) = told(tmp_path)
    assert note.startswith("2 builds from Go modules, about 8 min with 2 processors and empty caches of Go: ")
    assert "kubernetes 1.37.2 8 min, etcd 3.7.3 25 s; each is done once and kept in" in note


def test_only_what_is_missing_is_told_and_nothing_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_cache(monkeypatch, "kubernetes")
    (note,) = told(tmp_path)
    assert note.startswith("1 build from Go modules, about 25 s with")
    in_cache(monkeypatch, "kubernetes", "etcd")
    assert told(tmp_path) == []


def test_more_processors_take_less_time() -> None:
    assert forecast.seconds_of("kubernetes", 8) == forecast.seconds_of("kubernetes", 2) / 4
    assert forecast.seconds_of("unheard-of", 2) > 0


@pytest.mark.parametrize(("seconds", "text"), [(0.2, "1 s"), (89, "89 s"), (90, "2 min"), (450, "8 min")])
def test_a_duration_is_told_as_one_says_it(seconds: float, text: str) -> None:
    assert forecast.duration(seconds) == text


def test_every_component_that_can_be_built_has_a_figure() -> None:
    known = catalog.load()
    buildable = {name for name, component in known.components.items() if component.module}
    assert buildable <= set(known.build_seconds)
