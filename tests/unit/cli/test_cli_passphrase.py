"""`kprov passphrase` over a real state folder: the keys stay the same, and only what opens them changes."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from kprov.cli.program import run
from kprov.state.store import Store
from kprov.values.secret import Secret


@pytest.fixture
def inventory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("KPROV_PASSPHRASE", raising=False)
    file = tmp_path / "inventory.yaml"
    file.write_text("cluster: {name: prod}\nhosts:\n  cp1: {address: 192.0.2.1, groups: [control_plane]}\n")
    store(tmp_path).create_trust("ecdsa-p256", 3650, datetime.now(UTC))
    return file


def store(folder: Path, passphrase: str = "") -> Store:
    return Store.open(folder / ".kprov" / "prod", "prod", Secret(passphrase) if passphrase else None)


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.touch(mode=0o600)
    path.write_text(text)
    return path


def test_it_is_set_changed_and_removed_and_the_keys_stay(
    inventory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = store(tmp_path).trust().encryption_key
    one, two = written(tmp_path, "one", "horse battery\n"), written(tmp_path, "two", "staple correct\n")
    assert run(["passphrase", str(inventory), "--new-passphrase-file", str(one)]) == 0
    assert store(tmp_path, "horse battery").trust().encryption_key == keys
    assert run(["passphrase", str(inventory), "--passphrase-file", str(one), "--new-passphrase-file", str(two)]) == 0
    assert store(tmp_path, "staple correct").trust().encryption_key == keys
    assert run(["passphrase", str(inventory), "--passphrase-file", str(two), "--remove"]) == 0
    assert store(tmp_path).trust().encryption_key == keys
    said = capsys.readouterr().out
    assert [line.rpartition(" ")[2] for line in said.splitlines()] == ["set.", "changed.", "more."]
    assert "staple" not in said


def test_a_wrong_passphrase_changes_nothing(
    inventory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, wrong = written(tmp_path, "one", "horse battery\n"), written(tmp_path, "wrong", "wrong\n")
    assert run(["passphrase", str(inventory), "--new-passphrase-file", str(one)]) == 0
    assert run(["passphrase", str(inventory), "--passphrase-file", str(wrong), "--remove"]) == 1
    assert Store.is_sealed(tmp_path / ".kprov" / "prod")
    assert "passphrase" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--remove", "--new-passphrase-file", "FILE"], "cannot be set and removed at once"),
        (["--new-passphrase-file", "EMPTY"], "empty"),
        ([], "no terminal is attached"),
    ],
)
def test_what_cannot_be_done_is_refused(
    inventory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], told: str
) -> None:
    files = {"FILE": str(written(tmp_path, "new", "horse\n")), "EMPTY": str(written(tmp_path, "empty", "\n"))}
    assert run(["passphrase", str(inventory), *(files.get(option, option) for option in options)]) == 1
    assert told in capsys.readouterr().err
    assert not Store.is_sealed(tmp_path / ".kprov" / "prod")


def test_a_cluster_without_keys_has_nothing_to_encrypt(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "inventory.yaml"
    file.write_text("cluster: {name: prod}\nhosts:\n  cp1: {address: 192.0.2.1, groups: [control_plane]}\n")
    assert run(["passphrase", str(file), "--remove"]) == 1
    assert "holds no keys of cluster prod" in capsys.readouterr().err
