"""`kprov certs list`: the certificates that hosts and add-ons should have, to be set against those they have. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from kprov.addon.certificates import listed
from kprov.addon.desired import cluster_values
from kprov.artifacts.provide import named
from kprov.observe.gather import Fleet
from kprov.observe.silent_hosts import cluster_facts
from kprov.plan.cluster import Inputs, desired_of_hosts
from kprov.run.workspace import Workspace
from kprov.values.certificate import CertificateSpec
from kprov.values.resources import Certificate


def desired_certificates(workspace: Workspace, fleet: Fleet) -> Mapping[str, list[Certificate]]:
    """Return the certificates that every observed host should have. Raises StoreError, PreflightError.

    Certificates do not depend on what binaries contain, so that none has to be fetched for this.
    """
    cluster = workspace.cluster
    archs = {seen.facts.arch for seen in fleet.observations.values()}
    artifacts = named(cluster, archs)
    inputs = Inputs(cluster=cluster, trust=workspace.store.trust(), artifacts=artifacts, now=datetime.now(UTC))
    hosts = desired_of_hosts(inputs, fleet.observations)
    return {
        name: [item for items in stages.values() for item in items if isinstance(item, Certificate)]
        for name, stages in hosts.items()
    }


def secret_certificates(
    workspace: Workspace, fleet: Fleet, now: datetime
) -> tuple[tuple[CertificateSpec, str, bytes | None, str], ...] | None:
    """Return what `addon.certificates.listed` finds; None when no API server answered. Raises StoreError."""
    live = next((seen.objects for seen in fleet.observations.values() if seen.objects is not None), None)
    if live is None:
        return None
    values = cluster_values(workspace.cluster, cluster_facts(fleet.observations))
    return tuple(listed(workspace.cluster, live, values, workspace.store.trust(), now))
