"""Folders and files that only their owner may read. It knows nothing of what is in them.

A mode is given when a file is made and never changed afterwards, so there is no moment in which others could open it
(the race of CVE-2022-24302); the umask can only take rights away, and the owner's are restored on the open file.
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kprov.values.errors import StoreError

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_PART = ".part"


def make_folder(path: Path) -> None:
    """Make the folder with mode 0700, and those above it that are missing; one that is there is left as it is.

    Raises StoreError.
    """
    try:
        for folder in (*reversed(path.parents), path):
            if not folder.exists():
                folder.mkdir(mode=0o700, exist_ok=True)
                folder.chmod(0o700)  # a strict umask may have taken the owner's own rights
                sync_folder(folder.parent)
    except OSError as error:
        raise StoreError("the state folder cannot be made", where=str(path), found=error.strerror or "") from None


def sync_folder(path: Path) -> None:
    """Make the names in a folder last through a power failure. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def private_folder(path: Path) -> Iterator[int]:
    """An open descriptor of a folder that was checked: a real one, the caller's own, closed to everybody else.

    Work in it by names relative to the descriptor, so that nothing can be put in the folder's place after the check.
    Raises StoreError; FileNotFoundError when there is no such folder.
    """
    try:
        descriptor = os.open(path, _DIRECTORY)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise StoreError(
            "the state folder cannot be opened",
            where=str(path),
            found="a symbolic link" if path.is_symlink() else error.strerror or "",
            needed="a real folder of your own",
            todo="name the real folder with --state-dir",
        ) from None
    try:
        check_private(os.fstat(descriptor), str(path), "0700")
        yield descriptor
    finally:
        os.close(descriptor)


def check_private(status: os.stat_result, path: str, mode: str) -> None:
    """Raise StoreError unless the thing belongs to the caller and group and others have no rights on it."""
    if status.st_uid != os.geteuid():
        raise StoreError(
            "this belongs to another user, who could read or replace the cluster's keys",
            where=path,
            found=f"user id {status.st_uid}",
            needed=f"user id {os.geteuid()}, yours",
            todo="run kprov as its owner (without sudo, perhaps), or copy the folder and work with your copy",
        )
    if stat.S_IMODE(status.st_mode) & 0o077:
        raise StoreError(
            "others on this machine may open this, and it protects the cluster's keys",
            where=path,
            found=f"mode {stat.S_IMODE(status.st_mode):04o}",
            needed=f"mode {mode}",
            todo=f"chmod {mode} {path}; if others had access until now, count the keys as stolen",
        )


def read_private(folder: int, path: Path) -> bytes | None:
    """The content of file `path.name` in the open folder, None when it is not there. Raises StoreError when unsafe."""
    try:
        # O_NONBLOCK: a named pipe in the file's place must not hang the run.
        descriptor = os.open(path.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError("a state file cannot be opened", where=str(path), found=error.strerror or "") from None
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise StoreError("a state file is no regular file", where=str(path))
        check_private(status, str(path), "0600")
        return file.read()


def create_private(folder: int, name: str, content: bytes) -> None:
    """Make a file with mode 0600 that holds all of `content` or does not exist. Raises FileExistsError, OSError."""
    part = _write_part(folder, name, content)
    try:
        # Unlike a rename, a link never replaces what is there.
        os.link(part, name, src_dir_fd=folder, dst_dir_fd=folder)
    finally:
        os.unlink(part, dir_fd=folder)
    os.fsync(folder)


def replace_private(folder: int, name: str, content: bytes) -> None:
    """Make or replace a file with mode 0600; readers and crashes see the old content or the new. Raises OSError."""
    part = _write_part(folder, name, content)
    try:
        os.rename(part, name, src_dir_fd=folder, dst_dir_fd=folder)
    except OSError:
        os.unlink(part, dir_fd=folder)
        raise
    os.fsync(folder)


def _write_part(folder: int, name: str, content: bytes) -> str:
    part = f".{name}.{secrets.token_hex(8)}{_PART}"
    descriptor = os.open(part, _NEW, 0o600, dir_fd=folder)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, 0o600)  # a strict umask may have taken the owner's own rights
            file.write(content)
            file.flush()
            os.fsync(descriptor)
    except BaseException:
        os.unlink(part, dir_fd=folder)
        raise
    return part


def remove_parts(folder: int) -> None:
    """Remove what writers left that were killed. Only for a caller who keeps other writers out. Raises OSError."""
    for name in os.listdir(folder):
        if name.startswith(".") and name.endswith(_PART):
            os.unlink(name, dir_fd=folder)
