"""A backup of what one etcd host has, with or without a quorum: what a cluster is made of again when no other is left."""

from __future__ import annotations

from kprov.apply import wire
from kprov.apply.batch import Batch
from kprov.apply.lock import locked
from kprov.apply.sending import send
from kprov.observe.gather import Fleet
from kprov.plan.backup import member_to_ask
from kprov.run.backup import Backup, refuse_another_folder, servers, take
from kprov.run.refusals import refuse_locked
from kprov.run.workspace import Workspace
from kprov.values.components import ETCD
from kprov.values.errors import ApplyError

_ABOUT = "restore"  # its name in events, in the place of a stage's


def from_member(workspace: Workspace, name: str) -> Backup:
    """Take a backup of what one host has, also when it has no quorum. Raises BackupError, LockedError, TransportError."""
    fleet = servers(workspace)
    try:
        if name in fleet.failures:
            raise fleet.failures[name]
        refuse_locked(fleet)
        refuse_another_folder(workspace, fleet)
        member = member_to_ask(workspace.cluster, fleet.observations, name)
        with locked(fleet, workspace.store, [member]):
            state = fleet.observations[member].units.get(ETCD.unit)
            if state is None or state.active != "active":
                _start_member(workspace, fleet, member)
            return take(workspace, fleet, member, why=f"all that {member} has")
    finally:
        fleet.close()


def _start_member(workspace: Workspace, fleet: Fleet, name: str) -> None:
    """Start a member that may find no other: it answers for itself some seconds later."""
    batch = Batch()
    batch.add(f"unit {ETCD.unit}", wire.Restart(unit=ETCD.unit))
    port = ETCD.port("clients")
    asking = (
        f"/opt/kprov/bin/etcdctl --endpoints=https://127.0.0.1:{port} --cacert=/etc/etcd/pki/ca.crt"
        " --cert=/etc/etcd/pki/healthcheck-client.crt --key=/etc/etcd/pki/healthcheck-client.key endpoint status"
    )
    batch.add(f"unit {ETCD.unit}: answers", wire.Gate(kind="command", seconds=90, argument=asking))
    failed = send(fleet.sessions[name], _ABOUT, batch, fleet.observations[name].generation, workspace.emit)
    if failed:
        raise ApplyError(
            "its etcd member does not answer, alone as it is",
            where=name,
            found=failed[0].found,
            log=failed[0].log,
            todo="look at `journalctl -u etcd -n 50` there, name another member, or restore a backup",
        )
