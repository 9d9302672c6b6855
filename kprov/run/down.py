"""`kprov down`: gathers the hosts that leave and those that stay, locks, and takes the former down. It prints nothing."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import replace

from kprov.apply.down import take_down
from kprov.apply.lock import locked
from kprov.observe.gather import Fleet, gather
from kprov.plan.backup import backup_reason
from kprov.plan.farewell import farewells
from kprov.plan.questions import leaving_questions
from kprov.run.backup import take_first
from kprov.run.refusals import refuse_foreign_trust, refuse_locked, refuse_other_encryption, refuse_unreachable
from kprov.run.workspace import Workspace
from kprov.values.events import HostFailed


def down(workspace: Workspace) -> tuple[HostFailed, ...]:
    """Take the hosts of `limit`, or all, out of the cluster and give them back as they were.

    Raises TransportError, LockedError, PkiError, KprovError before anything is touched.
    """
    cluster, options = workspace.cluster, workspace.options
    names = [host.name for host in cluster.hosts if options.limit is None or host.name in options.limit]
    credential = workspace.credential if len(names) < len(cluster.hosts) else None
    questions = leaving_questions(cluster, credential, names) if credential is not None else {}
    fleet = gather(workspace.transport, cluster.hosts, questions, forks=options.forks)
    try:
        refuse_unreachable(fleet, frozenset(names))
        refuse_locked(fleet)
        _refuse_another_folder(workspace, fleet, names)
        goodbye = farewells(cluster, fleet.observations, names) if credential is not None else ()
        if not goodbye and not any(fleet.observations[name].records for name in names):
            return ()  # not even a lock is taken where nothing is to be removed
        with locked(fleet, workspace.store, sorted(fleet.sessions)):
            leaving = [name for name in names if fleet.observations[name].etcd.has_data]
            take_first(workspace, fleet, backup_reason((), leaving if goodbye else ()))
            return take_down(
                fleet,
                workspace.emit,
                names=names,
                farewells=goodbye,
                kubeconfig=credential,
                generation=secrets.token_hex(8),
                forks=options.forks,
            )
    finally:
        fleet.close()


def _refuse_another_folder(workspace: Workspace, fleet: Fleet, leaving: Sequence[str]) -> None:
    """Raise PkiError where hosts that stay are of a cluster that this folder cannot speak to: nobody would be told.

    Its members and nodes would lose one as if it had died. Where none stays there is nobody to tell.
    """
    staying = {name: seen for name, seen in fleet.observations.items() if name not in leaving}
    refuse_foreign_trust(workspace.store, replace(fleet, observations=staying), workspace.places)
    refuse_other_encryption(workspace.cluster, workspace.store, staying)
