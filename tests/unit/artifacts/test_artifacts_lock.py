"""Pins are kept as written, and a file that is not ours is refused with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from kprov.artifacts.lock import Lock
from kprov.values.errors import ArtifactError

URL = "https://dl.k8s.io/release/v1.37.2/bin/linux/amd64/kubelet"


def test_what_is_pinned_is_read_again(tmp_path: Path) -> None:
    lock = Lock(tmp_path / "lock.yaml")
    lock.pin_file(URL, "a" * 64)
    lock.pin_image("registry.k8s.io/pause:3.10.2", f"sha256:{'b' * 64}")
    lock.choose("upstream")
    again = Lock(tmp_path / "lock.yaml")
    assert (again.file(URL), again.source) == ("a" * 64, "upstream")
    assert again.image("registry.k8s.io/pause:3.10.2") == f"sha256:{'b' * 64}"
    assert again.file("https://other") == ""
    assert (tmp_path / "lock.yaml").read_text().startswith("# Written by kprov")
    assert [path.name for path in tmp_path.iterdir()] == ["lock.yaml"]


def test_the_text_does_not_depend_on_the_order_of_pins(tmp_path: Path) -> None:
    first, second = Lock(tmp_path / "1"), Lock(tmp_path / "2")
    for url in ("https://a", "https://b"):
        first.pin_file(url, "a" * 64)
    for url in ("https://b", "https://a"):
        second.pin_file(url, "a" * 64)
    assert (tmp_path / "1").read_text() == (tmp_path / "2").read_text()


def test_the_same_choice_again_writes_nothing(tmp_path: Path) -> None:
    lock = Lock(tmp_path / "lock.yaml")
    lock.choose("modules")
    (tmp_path / "lock.yaml").unlink()
    lock.choose("modules")
    assert not (tmp_path / "lock.yaml").exists()


def test_without_a_path_pins_live_in_memory() -> None:
    lock = Lock(None)
    lock.pin_file(URL, "a" * 64)
    assert lock.file(URL) == "a" * 64


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("files: {https://x: abc}\n", "https://x: abc"),
        ("images: {r: sha256:12}\n", "r: sha256:12"),
        ("files: [1]\n", "files is not a mapping"),
        ("source: elsewhere\n", "source: elsewhere"),
        ("kubelet: 1\n", "keys other than"),
        ("- a\n", "keys other than"),
        ("files: {\n", "while parsing"),
    ],
)
def test_a_file_that_is_not_a_lock_is_refused(tmp_path: Path, text: str, found: str) -> None:
    path = tmp_path / "lock.yaml"
    path.write_text(text)
    with pytest.raises(ArtifactError) as caught:
        Lock(path)
    assert caught.value.where == str(path)
    assert found in caught.value.found


def test_an_empty_file_is_an_empty_lock(tmp_path: Path) -> None:
    (tmp_path / "lock.yaml").write_text("")
    assert Lock(tmp_path / "lock.yaml").source == ""
