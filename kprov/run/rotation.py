"""`kprov certs rotate`: what a phase needs besides the run of `kprov up` that brings it to the hosts. It prints nothing."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

from kprov.objects.objects import OWNER, OWNER_LABEL
from kprov.plan.rotation import Inside, Step, Waiting, Workload, asks_inside, waiting, workloads_before
from kprov.run.api_client import all_of, api_client, silent
from kprov.run.own_authorities import refuse_short_lived
from kprov.run.workspace import Workspace
from kprov.state import rotation as machine
from kprov.state.store import Store
from kprov.tunnel.client import Client
from kprov.values.certificate import AUTHORITIES
from kprov.values.errors import KprovError
from kprov.values.rotation import Kind

RESTARTED = "kprov.io/restarted"
_ROLLING = 300.0  # seconds that restarted pods get
_PODS = "/api/v1/pods"
_AUTHENTICATION = "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication"


def turned(workspace: Workspace, step: Step, kinds: tuple[Kind, ...]) -> Store:
    """Return the store after a step, which is not written yet. Raises StoreError."""
    now, pki = datetime.now(UTC), workspace.cluster.pki
    match step:
        case "begin":
            refuse_short_lived(workspace.cluster, [name for name in AUTHORITIES if name in kinds], workspace.places)
            workspace.store.backup_key()  # made now where there was none, or what is kept later would not have it
            return workspace.store.turned(
                partial(
                    machine.begin,
                    kinds=kinds,
                    algorithm=pki.algorithm,
                    ca_days=pki.ca_days,
                    now=now,
                    own=workspace.store.own,
                )
            )
        case "apply":
            return workspace.store
        case "onward":
            return workspace.store.turned(partial(machine.onward, now=now))
        case "backward":
            return workspace.store.turned(partial(machine.backward, now=now, own=workspace.store.own))
        case "end":
            return workspace.store.turned(machine.ended)


def with_store(workspace: Workspace, store: Store) -> Workspace:
    """Return the workspace of a run with these keys."""
    return replace(workspace, store=store)


def wait_for(workspace: Workspace) -> Waiting:
    """Return what the phase after this one has to wait for. Raises KprovError where the cluster does not say."""
    rotation = workspace.store.rotation
    if rotation is None or not rotation.done or not asks_inside(rotation):
        return Waiting()
    with api_client(workspace) as client:
        inside = Inside(
            pods=all_of(client, _PODS),
            secrets=all_of(client, "/api/v1/secrets", "&fieldSelector=type%3Dkubernetes.io/service-account-token"),
            roots=all_of(client, "/api/v1/configmaps", "&fieldSelector=metadata.name%3Dkube-root-ca.crt"),
        )
    return waiting(rotation, inside, workspace.store.given_out("kubernetes"), datetime.now(UTC))


def restart(workspace: Workspace, *, everything: bool) -> tuple[Workload, ...]:
    """Restart what began before the new CA was trusted, kprov's own or everything, and wait for it; returns what it was.

    Raises KprovError where the cluster does not say, or what was restarted does not come.
    """
    rotation = workspace.store.rotation
    if rotation is None or not (rotation.done and rotation.phase == "trust" and "kubernetes" in rotation.kinds):
        return ()
    since, now = datetime.fromisoformat(rotation.since), datetime.now(UTC)
    with api_client(workspace) as client:
        early = [one for one in workloads_before(all_of(client, _PODS), since) if one.path]
        chosen = [one for one in early if everything or _is_own(client, one)]
        for one in chosen:
            body = {"spec": {"template": {"metadata": {"annotations": {RESTARTED: now.isoformat(timespec="seconds")}}}}}
            said = client.ask("PATCH", one.path, body, "application/merge-patch+json")
            if said.why:
                raise silent(str(one), said.why)
        ends = time.monotonic() + _ROLLING
        while left := [one for one in workloads_before(all_of(client, _PODS), since) if one in chosen]:
            if time.monotonic() > ends:
                raise KprovError(
                    "what was restarted is not there again",
                    where=", ".join(map(str, left)),
                    found=f"pods that began before, after {_ROLLING:g} s",
                    todo="look at `kubectl get pods`, then run the same command again",
                )
            time.sleep(2)
    return tuple(chosen)


def _is_own(client: Client, workload: Workload) -> bool:
    said = client.ask("GET", workload.path)
    return not said.why and said.body["metadata"].get("labels", {}).get(OWNER_LABEL) == OWNER


def forget(workspace: Workspace) -> None:
    """Take the old CAs out of what API servers only ever add to, from where servers behind them learn whom to trust.

    Raises KprovError.
    """
    bundle = workspace.store.bundle
    data = {
        "client-ca-file": bundle["kubernetes"].decode(),
        "requestheader-client-ca-file": bundle["front-proxy"].decode(),
    }
    with api_client(workspace) as client:
        said = client.ask("PATCH", _AUTHENTICATION, {"data": data}, "application/merge-patch+json")
    if said.why:
        raise silent("extension-apiserver-authentication", said.why)
