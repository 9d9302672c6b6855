"""Whether hosts are fit for what the inventory asks of them: every problem of every host at once, before any change.

Pure: it judges observations. Asking hosts, and stopping a run, is the caller's affair.
"""

from collections.abc import Iterable, Mapping

from kprov.observe.observation import Observation
from kprov.preflight import (
    clocks,
    disk,
    evictions,
    fixed,
    identity,
    leftovers,
    machine,
    network,
    pod_network,
    settings,
    versions,
)
from kprov.preflight.problem import INVENTORY, OPERATOR, Problem, judged, placed, raise_for, render
from kprov.values.model import Cluster, Host

__all__ = ["OPERATOR", "Problem", "check", "placed", "raise_for", "render"]


def check(
    cluster: Cluster, observations: Mapping[str, Observation], limit: frozenset[str] | None = None
) -> tuple[Problem, ...]:
    """All problems, in inventory order; those of the operator's machine and of the cluster's settings first.

    Args:
        observations: by host name, of all hosts that answered; also hosts outside `limit` are compared with. Their
            `versions` must be filled in (running_versions.identified).
        limit: the hosts that are to be touched, None for all. Only their problems are told, the operator's, and
            settings that would break the cluster.

    Names in `cluster.preflight_ignore` are warnings here, whatever they would be otherwise.
    """
    hosts = [host for host in cluster.hosts if limit is None or host.name in limit]
    found = [
        *_fleet(cluster, observations, limit),
        *(problem for host in hosts for problem in _one(cluster, host, observations)),
    ]
    order = {OPERATOR: -1, INVENTORY: -1, **{host.name: number for number, host in enumerate(hosts)}}
    told = sorted((problem for problem in found if problem.host in order), key=lambda problem: order[problem.host])
    return judged(dict.fromkeys(told), cluster.preflight_ignore)


def _fleet(
    cluster: Cluster, observations: Mapping[str, Observation], limit: frozenset[str] | None
) -> Iterable[Problem]:
    yield from clocks.compare(observations)
    yield from identity.compare(cluster, observations)
    yield from network.compare(cluster, observations)
    yield from pod_network.compare(cluster, observations, limit)
    yield from versions.compare(cluster, observations, limit)
    yield from fixed.compare(cluster, observations, limit)


def _one(cluster: Cluster, host: Host, observations: Mapping[str, Observation]) -> Iterable[Problem]:
    seen = observations.get(host.name)
    if seen is None:
        yield Problem(
            name="Unreachable",
            host=host.name,
            what="the host did not answer",
            found="no answer to the probe",
            needed=f"a machine that answers on SSH at {host.connection.address}",
            todo="see that it runs and can be reached, or leave it out with --limit",
        )
        return
    yield from machine.check(cluster, host, seen)
    yield from disk.check(cluster, host, seen)
    yield from evictions.check(host, seen)
    yield from settings.check(cluster, host, seen)
    yield from identity.check(host, seen)
    yield from network.check(cluster, host, seen)
    yield from pod_network.check(cluster, host, seen)
    yield from leftovers.check(host, seen)
