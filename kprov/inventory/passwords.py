"""References to secrets → secrets; a secret's text leaves this module only inside `Secret`, never in a message."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from kprov.inventory.keys import SecretReference
from kprov.values.secret import Secret

_LIMIT = 4096  # bytes; a password file is one line
_LARGE = 65536  # bytes; what add-ons are given may have several


class Unresolved(Exception):
    """A reference that leads to no secret; the text says why and may be shown."""


class SecretReader:
    """Reads each referenced secret once.

    Args:
        folder: where relative paths start.
        environment: variables by name.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._folder = folder
        self._environment = environment
        self._files: dict[tuple[Path, bool], Secret] = {}

    def read(self, reference: SecretReference, *, several_lines: bool = False) -> Secret:
        """The secret; one of several lines may have 64 KiB. Raises Unresolved."""
        if (reference.env is None) == (reference.file is None):
            raise Unresolved("a reference needs exactly one of `env` and `file`")
        if reference.env is not None:
            text = self._environment.get(reference.env, "")
            if not text:
                raise Unresolved(f"the environment variable {reference.env} is not set or empty")
            return Secret(text)
        path = self._folder / Path(str(reference.file)).expanduser()
        if (path, several_lines) not in self._files:
            self._files[path, several_lines] = _from_file(path, several_lines=several_lines)
        return self._files[path, several_lines]


def _from_file(path: Path, *, several_lines: bool) -> Secret:
    limit = _LARGE if several_lines else _LIMIT
    try:
        if path.stat().st_mode & 0o077:
            raise Unresolved(f"{path} may be read by others than its owner; run chmod 600 on it")
        with path.open("rb") as file:
            data = file.read(limit + 1)
        text = data.decode().rstrip("\r\n")
    except OSError as error:
        raise Unresolved(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise Unresolved(f"{path} is not UTF-8 text") from None
    if not text or len(data) > limit or "\0" in text or ("\n" in text and not several_lines):
        what, needed = ("secret", "text") if several_lines else ("password", "one line")
        raise Unresolved(f"{path} does not hold a {what}: {needed} of at most {limit} bytes is needed")
    return Secret(text)
