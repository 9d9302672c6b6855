"""What the guards of fixed settings judge, and how their refusals read. Values and text; nothing is judged here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Network
from typing import Any

from kprov.observe.observation import Observation
from kprov.preflight.problem import INVENTORY, Problem
from kprov.values.model import Cluster, ClusterFacts

MOVE = "to have another one, build a second cluster and move there"


@dataclass(frozen=True, kw_only=True)
class View:
    """What guards judge. objects: kprov's own in the API, None while nobody can ask it."""

    cluster: Cluster
    observations: Mapping[str, Observation]
    limit: frozenset[str] | None
    objects: tuple[Mapping[str, Any], ...] | None
    networks: Mapping[str, tuple[IPv4Network, str]]  # node → its pod network and who says so
    facts: ClusterFacts

    @cached_property
    def nodes(self) -> Mapping[str, Mapping[str, Any]]:
        """The Node objects by name."""
        return {item["metadata"]["name"]: item for item in self.objects or () if item["kind"] == "Node"}


Guard = Callable[[View], Iterable[Problem]]


def refused(key: str, what: str, *, found: str, needed: str, todo: str, name: str = "FixedSetting") -> Problem:
    return Problem(
        name=name, host=INVENTORY, what=what, found=found, needed=needed, todo=todo, key=key, ignorable=False
    )


def listed(networks: Mapping[str, tuple[IPv4Network, str]]) -> str:
    shown = [f"{name} has {net} ({by})" for name, (net, by) in list(networks.items())[:5]]
    return "; ".join(shown) + (f"; and {len(networks) - 5} more" if len(networks) > 5 else "")
