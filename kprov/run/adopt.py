"""`kprov adopt`: a state folder for a cluster whose own is lost, out of what its hosts hold. It prints nothing.

No host is changed. CAs' private keys are nowhere but in the folder that is lost, so that new CAs are made; hosts are told of
them by `kprov up`.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from kprov import preflight
from kprov.observe.gather import Fleet, ask_again, gather
from kprov.observe.probe import Question
from kprov.plan.adoption import SECRETS, Adopted, adopt
from kprov.plan.questions import first_questions
from kprov.roles.layout import CA
from kprov.run.refusals import refuse_locked
from kprov.run.running_versions import cached, identified
from kprov.run.workspace import Workspace
from kprov.state.adoption import made_again
from kprov.values.errors import StoreError


def look(workspace: Workspace) -> Adopted:
    """Read the cluster back from its hosts, and set it against the inventory; nothing is written.

    Raises StoreError where there is a folder, PreflightError, PkiError, LockedError, TransportError.
    """
    if workspace.store.exists:
        raise StoreError(
            "there is a state folder, which is never replaced; nothing was touched",
            where=str(workspace.store.path),
            todo="use it; or move it away first, if it is surely not of this cluster",
        )
    cluster, forks = workspace.cluster, workspace.options.forks
    fleet = gather(workspace.transport, cluster.hosts, first_questions(cluster, None, deep=False), forks=forks)
    try:
        if not fleet.observations:
            raise next(iter(fleet.failures.values()))
        refuse_locked(fleet)
        fleet = identified(fleet, cached(workspace.cache), forks=forks)
        problems = preflight.placed(preflight.check(cluster, fleet.observations), workspace.places)
        preflight.raise_for([problem for problem in problems if problem.name != "Unreachable"])
        adopted = adopt(cluster, fleet.observations, _secrets(workspace, fleet), datetime.now(UTC))
        silent = [f"{name} does not answer: {error.what}" for name, error in sorted(fleet.failures.items())]
        return replace(adopted, lines=(*adopted.lines, *silent))
    finally:
        fleet.close()


def keep(workspace: Workspace, adopted: Adopted) -> None:
    """Write the state folder. Raises StoreError."""
    pki = workspace.cluster.pki
    now = datetime.now(UTC)
    made = made_again(
        workspace.cluster.name,
        adopted.held,
        pki.algorithm,
        pki.ca_days,
        now,
        ended=adopted.ended,
        own=pki.authorities,
    )
    workspace.store.create(made)


def _secrets(workspace: Workspace, fleet: Fleet) -> dict[str, dict[str, bytes]]:
    """What control planes that kprov made have of the files that only root reads."""
    asked = {
        host.name: Question(texts=SECRETS, facts=False)
        for host in workspace.cluster.group("control_plane")
        if host.name in fleet.observations and ("file", CA) in fleet.observations[host.name].records
    }
    again = ask_again(fleet, asked, forks=workspace.options.forks).observations
    return {
        name: {path: again[name].texts[path] for path in SECRETS if path in again[name].texts}
        for name in asked
        if name in again
    }
