"""One pass over a draft inventory: its values, their places, and what was found. Holds no rule itself."""

from __future__ import annotations

from collections.abc import Mapping

from kprov.inventory.diagnose import shown
from kprov.inventory.mistakes import Caution, Mistakes, Path, dotted
from kprov.inventory.schema import Inventory
from kprov.inventory.source import Node
from kprov.values.model import Group


class Review:
    """One pass over a draft: the tree for places, the draft's values, and what was found."""

    def __init__(
        self, root: Node, inventory: Inventory, groups: Mapping[str, frozenset[Group]], mistakes: Mistakes
    ) -> None:
        self.root = root
        self.inventory = inventory
        self.groups = groups
        self.mistakes = mistakes
        self.cautions: list[Caution] = []

    def fault(
        self, path: Path, what: str, *, found: str = "", needed: str = "", todo: str = "", at_key: bool = False
    ) -> None:
        """Note a mistake at the value of a path (at_key: at its key), or at the nearest thing above that is written."""
        node = self.root.at(path)
        self.mistakes.add(
            self.root.key_mark(path) if at_key else node.mark,
            what,
            path=path,
            found=found or shown(node, path),
            needed=needed,
            todo=todo,
        )

    def caution(self, path: Path, what: str, todo: str = "") -> None:
        place = self.mistakes.where(self.root.key_mark(path))
        caution = Caution(where=place, what=f"{dotted(path)}: {what}", todo=todo)
        if caution not in self.cautions:  # of what is written once for many hosts
            self.cautions.append(caution)

    def sound(self, *path: str | int) -> bool:
        """Whether nothing at, above or below this path has a mistake."""
        return not any(
            spoiled[: len(path)] == path or path[: len(spoiled)] == spoiled for spoiled in self.mistakes.spoiled
        )
