"""`kprov down`: gathers the hosts that leave and those that stay, locks, and takes the former down. It prints nothing."""

from __future__ import annotations

import secrets

from kprov.apply.down import farewells, take_down
from kprov.apply.lock import locked
from kprov.observe.gather import gather
from kprov.run.refusals import refuse_locked, refuse_unreachable
from kprov.run.workspace import Workspace
from kprov.state.credential import credential
from kprov.values.events import HostFailed


def down(workspace: Workspace) -> tuple[HostFailed, ...]:
    """Take the hosts of `limit`, or all, out of the cluster and give them back as they were.

    Raises TransportError, LockedError, PkiError, KprovError before anything is touched.
    """
    cluster, options = workspace.cluster, workspace.options
    names = [host.name for host in cluster.hosts if options.limit is None or host.name in options.limit]
    fleet = gather(workspace.transport, cluster.hosts, {}, forks=options.forks)
    try:
        refuse_unreachable(fleet, frozenset(names))
        refuse_locked(fleet)
        if not any(fleet.observations[name].records for name in names):
            return ()  # not even a lock is taken where nothing is to be removed
        partial = len(names) < len(cluster.hosts)
        goodbye = farewells(cluster, fleet, names, credential(cluster, workspace.store)) if partial else ()
        with locked(fleet, workspace.store, sorted(fleet.sessions)):
            return take_down(
                cluster,
                fleet,
                workspace.emit,
                names=names,
                farewells=goodbye,
                generation=secrets.token_hex(8),
                forks=options.forks,
            )
    finally:
        fleet.close()
