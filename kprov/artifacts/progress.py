"""How long work tells what it is doing. The receiver draws; nothing here decides or prints."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Receiver of events. Names are unique within a run; several may be open at once, from several threads."""

    def started(self, name: str, total: int) -> None:
        """Work began. total: in bytes for downloads, in packages for builds; 0 when it cannot be known."""

    def advanced(self, name: str, n: int) -> None:
        """n more of the total is done."""

    def finished(self, name: str) -> None:
        """Work ended, well or not."""

    def note(self, text: str) -> None:
        """Something a user should know: a source was chosen, a checksum was pinned."""


class Silent:
    """A receiver that keeps nothing."""

    def started(self, name: str, total: int) -> None:
        return

    def advanced(self, name: str, n: int) -> None:
        return

    def finished(self, name: str) -> None:
        return

    def note(self, text: str) -> None:
        return
