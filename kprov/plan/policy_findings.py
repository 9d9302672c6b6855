"""What is to be said of NetworkPolicies that stand in a cluster: that nobody enforces them, or somebody begins to. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from kprov.observe.observation import Observation
from kprov.values.components import KUBELET, POLICIES
from kprov.values.model import NetworkSettings

_FLANNEL = "flannel"  # passes packets whatever a NetworkPolicy says
_NAMED = 3  # namespaces that are named


def unenforced(network: NetworkSettings, seen: Observation) -> Iterable[str]:
    """kprov, Calico and Cilium enforce them; of a network that is the user's own nothing is known."""
    if seen.policies and (network.mode == _FLANNEL or (network.built_in and not network.enforces)):
        count, stand, where = _counted(seen.policies)
        yield (
            f"{count} {stand} in the cluster that nothing enforces: the network {network.mode} passes all packets of pods "
            f"(namespaces {where})"
        )


def beginning(network: NetworkSettings, seen: Observation) -> Iterable[str]:
    """A cluster that is older than what enforces them: nobody has seen yet what they do."""
    older = ("unit", KUBELET.unit) in seen.records and ("unit", POLICIES.unit) not in seen.records
    if seen.policies and network.enforces and older:
        count, stand, where = _counted(seen.policies)
        yield f"{count} {stand} in the cluster that nothing has enforced so far; from the next run on they hold ({where})"


def _counted(policies: Mapping[str, int]) -> tuple[int, str, str]:
    """Return how many there are, in words, and in which namespaces."""
    some = list(policies)
    where = ", ".join(some[:_NAMED]) + (f" and {len(some) - _NAMED} more" if len(some) > _NAMED else "")
    count = sum(policies.values())
    return count, "NetworkPolicy stands" if count == 1 else "NetworkPolicies stand", where
