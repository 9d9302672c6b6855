"""What `--limit` names. It only looks hosts up."""

from __future__ import annotations

from kprov.values.errors import KprovError
from kprov.values.model import Cluster, Host


def hosts_within(cluster: Cluster, limit: str | None) -> frozenset[str] | None:
    """The hosts that `--limit HOST,GROUP…` names, None for all. Raises KprovError for a word that names none."""
    if not limit:
        return None
    names: set[str] = set()
    for word in filter(None, (part.strip() for part in limit.split(","))):
        hosts: list[Host] = [host for host in cluster.hosts if word == host.name or word in host.groups]
        if not hosts:
            raise KprovError(
                "--limit names no host",
                found=word,
                needed="names of hosts or groups: " + ", ".join(host.name for host in cluster.hosts),
                todo="check the spelling",
            )
        names |= {host.name for host in hosts}
    return frozenset(names)
