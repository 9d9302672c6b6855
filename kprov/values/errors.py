"""The exceptions of kprov: each says what happened, where, what was found, what was needed and what to do.

This module formats; it must not decide, print or hold secrets: callers pass only text that may be shown.
"""

from __future__ import annotations


class KprovError(Exception):
    """An error a user can act on.

    Args:
        what: one sentence, what could not be done.
        where: host, `file:line:column`, or a step.
        found: what was there.
        needed: what would have been right.
        todo: the next thing to do.
        log: last lines of the evidence (a journal's tail, a program's stderr).
    """

    def __init__(
        self, what: str, *, where: str = "", found: str = "", needed: str = "", todo: str = "", log: str = ""
    ) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.found = found
        self.needed = needed
        self.todo = todo
        self.log = log

    def __str__(self) -> str:
        lines = [f"{self.where}: {self.what}" if self.where else self.what]
        for label, text in (("found", self.found), ("needed", self.needed), ("do", self.todo)):
            if text:
                lines.append(f"  {label + ':':<8}{text}")
        if self.log:
            lines.extend(f"  | {line}" for line in self.log.rstrip().splitlines())
        return "\n".join(lines)


class InventoryError(KprovError):
    """One or more mistakes in an inventory; `mistakes` holds them all, in file order."""

    def __init__(self, what: str, *, mistakes: tuple[KprovError, ...] = (), where: str = "", todo: str = "") -> None:
        super().__init__(what, where=where, todo=todo)
        self.mistakes = mistakes

    def __str__(self) -> str:
        return "\n".join([super().__str__(), *(str(mistake) for mistake in self.mistakes)])


class PreflightError(KprovError):
    """A host is not fit for what the inventory asks; raised before anything is touched."""


class TransportError(KprovError):
    """A host could not be reached, did not let us in, or the connection broke."""


class UnreachedError(TransportError):
    """The host is reached; what it was to connect to is not."""


class ApplyError(KprovError):
    """A host refused or failed a change, or a gate did not pass before its deadline."""


class LockedError(KprovError):
    """Another run holds the cluster's lock."""


class ArtifactError(KprovError):
    """An artifact could not be had, or is not what its checksum says."""


class PkiError(KprovError):
    """Certificates or keys are missing, foreign or unfit."""


class StoreError(KprovError):
    """The operator's state folder is unreadable, unsafe or belongs to another cluster."""


class AddonError(KprovError):
    """An add-on's folder is not what it must be, or its manifests cannot be rendered."""


class LabError(KprovError):
    """A lab machine could not be made, started or removed."""


class BackupError(KprovError):
    """A backup cannot be taken, opened or trusted."""
