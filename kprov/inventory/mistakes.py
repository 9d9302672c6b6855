"""What is wrong with an inventory, gathered with its place in the file; decides nothing about inventories."""

from __future__ import annotations

from dataclasses import dataclass

from kprov.values.errors import InventoryError, KprovError

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True, order=True)
class Mark:
    """A place in the file; line and column count from 1."""

    line: int
    column: int


@dataclass(frozen=True, kw_only=True)
class Caution:
    """Something that is allowed but probably not meant. where: `file:line:column`."""

    where: str
    what: str
    todo: str = ""

    def __str__(self) -> str:
        return f"{self.where}: {self.what}" + (f"\n  {'do:':<8}{self.todo}" if self.todo else "")


class Mistakes:
    """All mistakes of one file; `spoiled` holds the paths that have one, so that later checks can leave them out."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._found: list[tuple[Mark, KprovError]] = []
        self.spoiled: set[Path] = set()

    def __bool__(self) -> bool:
        return bool(self._found)

    def where(self, mark: Mark) -> str:
        """`file:line:column`."""
        return f"{self._file}:{mark.line}:{mark.column}"

    def add(self, mark: Mark, what: str, *, path: Path = (), found: str = "", needed: str = "", todo: str = "") -> None:
        """Note a mistake; `path` is the full path of the key or value it is about."""
        if path:
            self.spoiled.add(path)
            what = f"{dotted(path)}: {what}"
        error = KprovError(what, where=self.where(mark), found=found, needed=needed, todo=todo)
        self._found.append((mark, error))

    def error(self) -> InventoryError:
        """One error that holds all mistakes in file order."""
        count = len(self._found)
        return InventoryError(
            "the inventory has a mistake" if count == 1 else f"the inventory has {count} mistakes",
            where=self._file,
            mistakes=tuple(error for _, error in sorted(self._found, key=lambda entry: entry[0])),
        )


def dotted(path: Path) -> str:
    """A path as people write it: `hosts.cp1.groups[0]`."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text
