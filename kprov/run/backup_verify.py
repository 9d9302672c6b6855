"""`kprov backup verify`: restores a backup for trial on this computer, and compares it with what it says of itself."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from kprov.artifacts.provide import provide
from kprov.plan.backup import Restored, disagreements, refuse_foreign
from kprov.run import trial
from kprov.run.workspace import Workspace
from kprov.state import backup_file
from kprov.state.at_rest import Readers, opens, readers
from kprov.state.sealed import identities_of
from kprov.state.trustfile import decode
from kprov.values.backup import Manifest
from kprov.values.errors import BackupError


@dataclass(frozen=True, kw_only=True)
class Verified:
    """A backup that was tried. wrong: what is not as it says, in words. missing: parts that it lacks."""

    path: Path
    manifest: Manifest
    found: Restored
    wrong: tuple[str, ...]
    missing: tuple[str, ...]

    @property
    def good(self) -> bool:
        return not self.wrong


def identities(workspace: Workspace, text: str = "", where: str = "") -> Sequence[Any]:
    """Return the private keys that open backups: the state folder's where there is one, and the user's own.

    text: of a file with the user's private key, at `where`. Raises BackupError, StoreError.
    """
    own = identities_of(text, where) if text else []
    if workspace.store.exists:
        for key in workspace.store.backup_keys():
            own += identities_of(key.reveal(), str(workspace.store.path))
    if not own:
        raise BackupError(
            "there is no key to open backups with",
            where=str(workspace.store.path),
            needed="the state folder of the cluster, or a private key that backups were made for",
            todo="name the state folder with --state-dir, or your key with --identity",
        )
    return own


def verify(workspace: Workspace, path: Path, keys: Sequence[Any]) -> Verified:
    """Try a backup. Raises BackupError when it cannot even be opened, StoreError, ArtifactError; asks no host."""
    arch = trial.architecture()
    manifest = backup_file.read_manifest(path, keys)
    if workspace.store.exists:
        refuse_foreign(manifest, workspace.cluster.name, workspace.store.cluster_id, str(path))
    artifacts = provide(workspace.cluster, [arch], workspace.cache, workspace.progress, lock=workspace.lock_file)
    with tempfile.TemporaryDirectory(prefix="kprov-") as name:  # mode 0700
        folder = Path(name)
        trial.need_room(folder, manifest.snapshot.size)
        opened = backup_file.read(path, keys, folder / backup_file.SNAPSHOT)
        programs = {program: artifacts[(program, arch)] for program in trial.PROGRAMS}
        found = trial.restored(
            folder / backup_file.SNAPSHOT, programs, partial(opens, known=_readers(workspace, opened))
        )
    parts = (backup_file.TRUST, backup_file.INVENTORY)
    return Verified(
        path=path,
        manifest=manifest,
        found=found,
        wrong=tuple(disagreements(manifest, found)),
        missing=tuple(part for part in parts if part not in opened.files),
    )


def _readers(workspace: Workspace, opened: backup_file.Opened) -> Readers:
    """Return the encryption keys that are in the backup."""
    if backup_file.TRUST not in opened.files:
        return {}
    keys = decode(opened.files[backup_file.TRUST]).keys(workspace.store.passphrase)
    return readers(keys.encrypted_by, keys.encryption)
