"""Feature gates and API versions that an inventory switches, against what the version lets anybody switch. Pure.

A component that is asked for what it cannot have ends at its start. What it would take, and a cluster could not live with,
is judged here too: kubelets and controllers speak by these versions of the API.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

_MATCHERS = frozenset({"api/all", "api/ga", "api/beta", "api/alpha", "api/legacy"})
# Without these no kubelet registers, no controller works, or kprov's own objects are not taken.
NEEDED_APIS = frozenset(
    {
        *("v1", "apps/v1", "rbac.authorization.k8s.io/v1", "coordination.k8s.io/v1", "discovery.k8s.io/v1"),
        *(
            "authentication.k8s.io/v1",
            "authorization.k8s.io/v1",
            "apiregistration.k8s.io/v1",
            "apiextensions.k8s.io/v1",
        ),
        *(
            "admissionregistration.k8s.io/v1",
            "networking.k8s.io/v1",
            "policy/v1",
            "storage.k8s.io/v1",
            "node.k8s.io/v1",
        ),
        *("scheduling.k8s.io/v1", "events.k8s.io/v1", "flowcontrol.apiserver.k8s.io/v1", "certificates.k8s.io/v1"),
    }
)


@dataclass(frozen=True, kw_only=True)
class Switch:
    """A switch that cannot be had: its name, what is wrong, what is needed. known: names that there are, where it is none."""

    name: str
    what: str
    needed: str
    known: tuple[str, ...] = ()


def locked_gates(switched: Mapping[str, bool], locked: Mapping[str, bool], version: str) -> Iterator[Switch]:
    """Yield feature gates that are switched to what they cannot be. locked: gates with one value only."""
    for name, value in switched.items():
        if locked.get(name, value) != value:
            only = "on" if locked[name] else "off"
            yield Switch(
                name=name,
                what=f"feature gate {name} cannot be switched {'on' if value else 'off'}",
                needed=f"{name}={str(locked[name]).lower()}, or no word of it: in {version} it is always {only}",
            )


def apis(switched: Mapping[str, bool], known: Collection[str]) -> Iterator[Switch]:
    """Yield keys of `runtime-config` that kube-apiserver refuses, and those that a cluster cannot do without. Source:
    Kubernetes 1.37, k8s.io/apiserver/pkg/server/options/api_enablement.go.
    """
    for name, value in switched.items():
        version = "/".join(name.split("/")[:2])
        if name in _MATCHERS:
            if not value and name in ("api/all", "api/ga"):
                needed = "alpha and beta versions, or single resources, to be switched"
                yield Switch(
                    name=name, what=f"{name}=false would leave an API server that serves nothing", needed=needed
                )
        elif version not in known:
            needed = "GROUP/VERSION, GROUP/VERSION/RESOURCE, v1, api/beta or api/alpha"
            yield Switch(name=name, what=f"the API has no {version}", needed=needed, known=tuple(known))
        elif not value and name in NEEDED_APIS:
            needed = "it to be served: kubelets, controllers and kprov itself speak by it"
            yield Switch(name=name, what=f"{name} would be switched off", needed=needed)
