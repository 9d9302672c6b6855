"""Whether new hosts will reach each other's ports: a firewall that drops is named before anything is changed. Pure.

Nobody listens there yet. A port that is open says so (`refused`), and so does a firewall that answers in the same way
(`reject` with a port that is unreachable): that one is not seen.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from kprov.observe.observation import Observation
from kprov.plan.ways import Way, ways
from kprov.preflight.problem import Problem, judged
from kprov.values.many_hosts import name_hosts
from kprov.values.model import Cluster


def check(
    cluster: Cluster, observations: Mapping[str, Observation], limit: frozenset[str] | None = None
) -> tuple[Problem, ...]:
    """One problem for each host with ports that are closed, in inventory order.

    `observations` must have been asked the knocks of `further_questions`. Names in `cluster.preflight_ignore` are warnings.
    """
    closed: dict[str, list[tuple[Way, str]]] = {}
    for way in ways(cluster, observations, limit):
        if why := observations[way.caller].closed.get((way.address, way.port)):
            closed.setdefault(way.host, []).append((way, why))
    return judged((_problem(host, rows) for host, rows in closed.items()), cluster.preflight_ignore)


def _problem(host: str, rows: Iterable[tuple[Way, str]]) -> Problem:
    callers: dict[tuple[int, str, str], list[str]] = {}
    for way, why in rows:
        callers.setdefault((way.port, way.unit, why), []).append(way.caller)
    ports = sorted({port for port, _, _ in callers})
    return Problem(
        name="Firewall",
        host=host,
        what="other hosts do not reach ports that the cluster needs on this one",
        found="; ".join(
            f"port {port} ({unit.removesuffix('.service')}) from {name_hosts(names)}: {why}"
            for (port, unit, why), names in sorted(callers.items())
        ),
        needed=f"TCP {', '.join(map(str, ports))} open to the other hosts of the cluster",
        todo="open each in that host's firewall (`firewall-cmd --permanent --add-port=PORT/tcp`, then `firewall-cmd "
        "--reload`; `ufw allow PORT/tcp`; or its file of nft), or in what lies between",
    )
