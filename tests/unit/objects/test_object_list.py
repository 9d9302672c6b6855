"""The list of kprov's objects: what it says, and what it makes of what is removed."""

from __future__ import annotations

from kprov.objects.listing import IDENTITY, OLD, list_object, listed, removal
from kprov.objects.objects import identity

KEYS = [("apps", "Deployment", "ns", "web"), ("", "Node", "", "n1"), ("example.org", "Thing", "", "one")]


def test_the_list_says_the_same_whatever_the_order() -> None:
    made = list_object(KEYS)
    assert identity(made) == IDENTITY
    assert made == list_object(reversed(KEYS))
    assert made["data"]["kinds"] == "deployment.apps,node,thing.example.org"
    assert listed([made]) == frozenset(KEYS)


def test_without_a_list_or_with_a_torn_one_nothing_is_kprovs() -> None:
    assert listed([]) == frozenset()
    made = list_object(KEYS)
    assert listed([{**made, "data": {"objects": "a/b\n\nnonsense"}}]) == frozenset()


def old(keys: list[tuple[str, str, str, str]]) -> dict[str, object]:
    made = list_object(keys)
    return {**made, "metadata": {**made["metadata"], "name": "kprov-inventory"}}


def test_a_list_with_its_old_name_is_read_until_there_is_another_and_goes() -> None:
    assert listed([old(KEYS)]) == {*KEYS, OLD}
    assert listed([old(KEYS), list_object(KEYS[:1])]) == {*KEYS[:1], OLD}
    assert listed([list_object(KEYS[:1])]) == frozenset(KEYS[:1])


def test_the_least_that_names_an_object() -> None:
    key = KEYS[0]
    assert removal(key, {key: "apps/v1"}) == {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "ns"},
    }
