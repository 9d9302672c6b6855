"""Nodes are handed to the cloud's controller once each, and keep what it wrote."""

from __future__ import annotations

from typing import Any

import pytest

from kprov.roles.cloud_nodes import PROVIDER, UNINITIALIZED, handed_over, uninitialized, waiting

OWN = {"key": "own", "effect": "NoSchedule"}


def node(provider: str = "", *taints: dict[str, str], provider_id: str = "", **annotations: str) -> dict[str, Any]:
    given = {**annotations, **({PROVIDER: provider} if provider else {})}
    spec: dict[str, Any] = {"podCIDR": "10.244.0.0/24"}
    spec |= {"taints": list(taints)} if taints else {}
    spec |= {"providerID": provider_id} if provider_id else {}
    return {"kind": "Node", "metadata": {"name": "a", "annotations": given}, "spec": spec}


TAINT = {"key": UNINITIALIZED, "value": "true", "effect": "NoSchedule"}


@pytest.mark.parametrize(
    ("live", "handed"),
    [
        (None, True),  # it is made now
        (node(), True),  # it was there before the cloud
        (node("other"), True),
        (node("aws", TAINT), True),  # its controller has not come yet
        (node("aws"), False),
        (node("aws", OWN), False),
    ],
)
def test_a_node_gets_the_taint_once_for_each_cloud(live: dict[str, Any] | None, handed: bool) -> None:
    made = handed_over(node("aws", OWN), live)
    assert made["spec"]["taints"] == ([OWN, TAINT] if handed else [OWN])
    assert uninitialized(made) is handed


def test_without_a_cloud_nothing_is_handed_over_and_a_taint_that_was_left_goes() -> None:
    assert handed_over(node(), None) == node()
    assert handed_over(node(), node("aws", TAINT)) == node()


def test_what_the_controller_found_out_is_not_taken_away() -> None:
    assert handed_over(node("aws"), node("aws", provider_id="aws:///z/i-1"))["spec"]["providerID"] == "aws:///z/i-1"
    assert handed_over(node(), node("aws", provider_id="aws:///z/i-1"))["spec"]["providerID"] == "aws:///z/i-1"


def test_those_that_wait_are_named() -> None:
    assert waiting([handed_over(node("aws"), None), {"kind": "ConfigMap", "metadata": {"name": "b"}}]) == ("a",)
