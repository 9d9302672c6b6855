"""Which pods are let in to kubelets: those that read them, by namespace and labels, from the moment they have an address."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from policy_parts import kubelets, labels, main, node, table

READERS = [
    {"namespace": "kube-system", "labels": {"k8s-app": "metrics-server"}},
    {"namespace": "monitoring", "labels": {"app": "store", "tier": "db"}},
]
TOLD = {"port": 10250, "readers": READERS}
NETWORK = "pods 10.244.0.0/16\nclosed 22,2379\nhost 192.0.2.1\nboth\nhost 10.244.1.1\n"
NODE = table.Node("w1", "10.244.1.0/24", six=True)


def pod(space: str, name: str, address: str, own: dict[str, str], *, on: str = "w1") -> Any:
    return labels.Pod(space, name, on, address, own)


SERVER = pod("kube-system", "m", "10.244.1.5", {"k8s-app": "metrics-server", "x": "y"})
PODS = [
    SERVER,
    pod("monitoring", "s", "10.244.1.6", {"app": "store", "tier": "db"}),
    pod("monitoring", "half", "10.244.1.7", {"app": "store"}),
    pod("default", "m", "10.244.1.8", {"k8s-app": "metrics-server"}),
    pod("kube-system", "m2", "10.244.2.5", {"k8s-app": "metrics-server"}, on="w2"),
]


def test_readers_are_pods_of_this_node_in_that_namespace_with_all_of_the_labels() -> None:
    assert kubelets.reading(kubelets.of_settings(TOLD, NETWORK), NODE, PODS) == {"10.244.1.5", "10.244.1.6"}


def test_without_readers_there_is_no_table() -> None:
    nobody = kubelets.of_settings({**TOLD, "readers": []}, NETWORK)
    assert kubelets.whole(nobody, NODE, frozenset()) == kubelets.gone(NODE)
    text = kubelets.whole(kubelets.of_settings(TOLD, NETWORK), NODE, frozenset({"10.244.1.5"}))
    assert "set readers { type ipv4_addr; elements = { 10.244.1.5 }; }" in text
    assert "set hosts { type ipv4_addr; elements = { 10.244.1.1, 192.0.2.1 }; }" in text
    assert text.count("tcp dport 10250") == 3
    assert "set hosts { type ipv4_addr; }" in kubelets.whole(kubelets.of_settings(TOLD, ""), NODE, frozenset())
    assert "ip6" not in kubelets.whole(kubelets.of_settings(TOLD, NETWORK), NODE._replace(six=False), frozenset())


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> tuple[Callable[..., Any], list[str]]:
    loaded: list[str] = []
    monkeypatch.setattr(main, "_SIX", str(tmp_path / "none"))
    monkeypatch.setattr(main, "MARK", str(tmp_path / "closed"))
    monkeypatch.setattr(main, "load", loaded.append)
    monkeypatch.setattr(main, "dropped", dict)
    settings = {"node": "w1", "own": "10.244.1.0/24", "cache": "", "bridge": "cni0", "server": "https://127.0.0.1:1"}
    settings |= {"ca": "", "port": 0, "given": "/nowhere", "certificate": "", "key": ""}
    settings["network"] = str(tmp_path / "network.conf")
    (tmp_path / "network.conf").write_text(NETWORK)
    return (lambda readers: {**settings, "kubelets": {**TOLD, "readers": readers}}), loaded


def test_who_comes_and_goes_is_let_in_and_out_and_nothing_is_written_otherwise(program: Any, tmp_path: Path) -> None:
    settings, loaded = program
    engine = main.Engine(settings(READERS))
    engine.given = node.Given(lambda: None, str(tmp_path))

    def written() -> list[str]:
        engine.bring()
        fresh = [text for text in loaded if kubelets.TABLE in text]
        loaded.clear()
        return fresh

    assert "elements = { 10.244.1.5 }" not in written()[0]
    engine.pods._items = {("kube-system", "m"): SERVER}
    assert "elements = { 10.244.1.5 }" in written()[0]
    engine.pods._items = {("kube-system", "m"): SERVER, ("a", "b"): pod("a", "b", "10.244.1.9", {})}
    assert written() == []
    engine.pods._items = {}
    assert "10.244.1.5" not in written()[0]


def test_a_table_that_somebody_flushed_is_written_again(program: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings, loaded = program
    there = {table.TABLE, kubelets.TABLE}
    monkeypatch.setattr(main, "present", lambda name: name in there)
    engine = main.Engine(settings(READERS))
    engine.bring()
    loaded.clear()
    engine.look()
    engine.bring()
    assert loaded == []
    there.remove(kubelets.TABLE)
    engine.look()
    engine.bring()
    assert [kubelets.TABLE in text for text in loaded] == [True]


def test_a_host_that_joins_is_closed_without_a_restart(
    program: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings, loaded = program
    monkeypatch.setattr(main, "present", lambda _: True)
    engine = main.Engine(settings(READERS))
    engine.bring()
    (tmp_path / "network.conf").write_text(f"{NETWORK}host 192.0.2.9\n")
    loaded.clear()
    engine.look()
    engine.bring()
    assert ["192.0.2.9" in text for text in loaded] == [True]


@pytest.mark.parametrize(
    ("readers", "there", "begins"),
    [
        (READERS, False, "set readers { type ipv4_addr; }"),
        (READERS, True, ""),
        ([], True, "delete table"),
        ([], False, ""),
    ],
    ids=["boot", "restart", "nobody reads any more", "nobody reads"],
)
def test_it_begins_closed_and_what_is_left_of_before_goes(
    program: Any, monkeypatch: pytest.MonkeyPatch, readers: Any, there: bool, begins: str
) -> None:
    settings, loaded = program
    monkeypatch.setattr(main, "present", lambda name: name == table.TABLE or there)
    main.close(settings(readers))
    assert bool(loaded) == bool(begins)
    assert begins in "".join(loaded)
