"""Which file a word on the command line means: `latest`, a name of a place, a host's, or a path."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pki_cases import NOW, cluster, host

from kprov.cli.backup import chosen
from kprov.state.backup_place import file_name
from kprov.values.errors import BackupError
from kprov.values.model import BackupSettings

NAME = file_name("prod", NOW)


@pytest.fixture
def work(tmp_path: Path) -> Any:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / NAME).touch()
    made = replace(cluster(host("cp1", ("etcd",))), backup=BackupSettings(to=tmp_path / "kept"))
    return SimpleNamespace(workspace=SimpleNamespace(cluster=made, store=SimpleNamespace(path=tmp_path / "state")))


def test_a_name_that_list_shows_is_enough(work: Any, tmp_path: Path) -> None:
    assert chosen(work, NAME) == chosen(work, "latest") == tmp_path / "kept" / NAME


def test_a_path_is_a_path_also_where_nothing_is(work: Any, tmp_path: Path) -> None:
    for text in (
        str(tmp_path / "kept" / NAME),
        f"elsewhere/{NAME}",
        "notes.age",
        file_name("prod", NOW.replace(day=2)),
    ):
        assert chosen(work, text) == Path(text)


def test_what_looks_like_a_store_and_is_none_is_refused(work: Any) -> None:
    with pytest.raises(BackupError, match="no place for backups"):
        chosen(work, f"ftp://store/{NAME}")
