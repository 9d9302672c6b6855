"""Where a host's data goes decides which disk is judged, whatever runtime it has."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kprov.preflight.disk import data_folder
from kprov.values.model import Connection, Host
from kprov.values.runtimes import RUNTIMES

HOST = Host(name="w1", groups=frozenset({"worker"}), connection=Connection(address="192.0.2.1"), runtime="containerd")


@pytest.mark.parametrize(
    ("folders", "folder"),
    [(("/etc/x", "/var/lib/x"), "/var/lib/x"), (("/etc/x", "/srv/x"), "/var/lib")],
)
def test_a_runtime_without_a_folder_below_var_lib_is_judged_by_that(
    monkeypatch: pytest.MonkeyPatch, folders: tuple[str, ...], folder: str
) -> None:
    monkeypatch.setitem(RUNTIMES, "containerd", replace(RUNTIMES["containerd"], folders=folders))
    assert data_folder("worker", HOST) == folder
