"""Where backups of a cluster are kept, and one of them brought to this computer. It prints nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from kprov.run.workspace import Workspace
from kprov.state.backup_folder import FOLDER, Folder
from kprov.state.backup_place import Place, Put
from kprov.values.backup_place import Address, S3Address, parse
from kprov.values.errors import BackupError

Fetch = Callable[[Put], object]


def place_of(workspace: Workspace, to: str | None = None) -> Place:
    """Return where backups are kept: what the command line says, the inventory, or the state folder. Raises BackupError."""
    settings = workspace.cluster.backup
    chosen: Path | Address | None = settings.to
    if to is not None:
        try:
            chosen = parse(to) or Path(to)
        except ValueError as error:
            raise BackupError("this is no place for backups", found=to, needed=str(error)) from None
    if chosen is None:
        return own_folder(workspace)
    if isinstance(chosen, Path):
        return Folder(chosen)
    # What a store needs is imported for it alone: paramiko takes as long as half of a command that looks at the cluster.
    if isinstance(chosen, S3Address):
        from kprov.state.backup_s3 import S3Place

        return S3Place(chosen, settings.s3)
    from kprov.state.backup_sftp import SftpPlace

    return SftpPlace(chosen, settings.sftp)


def own_folder(workspace: Workspace) -> Folder:
    """Return the folder in the state folder: for what the user named no place for, and what is brought here."""
    return Folder(workspace.store.path / FOLDER, own=True)


def here(workspace: Workspace) -> Folder:
    """Return the folder of this computer that what is elsewhere is brought to."""
    place = place_of(workspace)
    return place if isinstance(place, Folder) else own_folder(workspace)


def local(workspace: Workspace, place: Place, name: str, size: int) -> Path:
    """Return a file of this computer with that backup, brought here from a store. Raises BackupError, LockedError."""
    if isinstance(place, Folder):
        return place.path / name

    def fetch(put: Put) -> None:
        place.bring(name, put)

    return brought(workspace, name, fetch, size)


def brought(workspace: Workspace, name: str, fetch: Fetch, size: int | None = None) -> Path:
    """Bring a file here, under the name it has; one that is here is taken as it is.

    It is encrypted, and read to its end before anything is done with it. size: of the whole, where that is known.
    Raises BackupError, LockedError and what `fetch` raises.
    """
    folder = here(workspace)
    if folder.own:
        workspace.store.prepare()
    with folder.writing(workspace.cluster.name):
        path = folder.path / name
        if path.exists() and size in (None, path.stat().st_size):
            return path
        if size is not None:
            folder.need_room(size)
        with folder.create(name) as output:
            fetch(output.write)
    return path
