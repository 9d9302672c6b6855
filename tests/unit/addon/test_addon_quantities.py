"""Quantities as the API server gives them back, so that a manifest that writes them otherwise differs only once."""

from __future__ import annotations

from pathlib import Path

import pytest

from kprov.addon.choose import chosen
from kprov.addon.quantities import canonical
from kprov.addon.render import Surroundings, rendered


@pytest.mark.parametrize(
    ("written", "given_back"),
    [
        (1, "1"),
        (0.5, "500m"),
        ("0.1", "100m"),
        ("1000m", "1"),
        ("1500m", "1500m"),
        (1000, "1k"),
        ("250m", "250m"),
        ("1024Mi", "1Gi"),
        ("0.5Gi", "512Mi"),
        ("1536Mi", "1536Mi"),
        ("1Gi", "1Gi"),
        ("1024", "1024"),
        (0, "0"),
        ("0Gi", "0"),
        ("64Mi", "64Mi"),
        ("1e3", "1e3"),  # exponents and what is no quantity stay
        ("5n", "5n"),
        ("1..2", "1..2"),
        ("much", "much"),
        (True, True),
        (None, None),
    ],
)
def test_a_quantity_is_written_as_it_is_given_back(written: object, given_back: object) -> None:
    assert canonical(written) == given_back


def test_resources_of_all_manifests_are(tmp_path: Path) -> None:
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "pod.yaml").write_text(
        """\
apiVersion: v1
kind: Pod
metadata: {name: one}
spec:
  containers:
    - {name: a, args: ["0.5"], resources: {limits: {cpu: 1, memory: 1024Mi}, requests: {cpu: 0.1}}}
"""
    )

    def fault(path: tuple[str, ...], what: str, **_: str) -> None:
        raise AssertionError(f"{path}: {what}")

    (addon,) = chosen({"metrics-server": False, "own": True}, tmp_path, fault, lambda _path, _value: None)
    (pod,) = rendered(addon, Surroundings(cluster={}, ca={}, images={}, secret_seed=b""))
    assert pod["spec"]["containers"] == [
        {
            "name": "a",
            "args": ["0.5"],
            "resources": {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "100m"}},
        }
    ]
