"""Hosts that did not answer, as the rest of the cluster knows them: they keep their place in what others are told. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

from kprov.observe.observation import Observation
from kprov.values.model import ClusterFacts


def cluster_facts(observations: Mapping[str, Observation]) -> ClusterFacts:
    """What all hosts said of themselves, and what they said of those that did not."""
    return ClusterFacts(
        {name: seen.facts for name, seen in observations.items()}, told=dict(_told(tuple(observations.values())))
    )


def _told(observations: tuple[Observation, ...]) -> Iterable[tuple[str, str]]:
    """Nodes by the API, then etcd's members, whose word wins: by another address it would be another member."""
    for seen in observations:
        for item in seen.objects or ():
            if item["kind"] == "Node":
                for row in item.get("status", {}).get("addresses", ()):
                    if row.get("type") == "InternalIP" and "." in row.get("address", ""):
                        yield item["metadata"]["name"], row["address"]
    for seen in observations:
        for member in seen.etcd.members or ():
            for url in member.peer_urls[:1]:
                if member.name and (address := urlsplit(url).hostname):
                    yield member.name, address
