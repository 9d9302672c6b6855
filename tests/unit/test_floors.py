"""The house: kprov's folders stand on floors, and a folder imports only what stands on a lower one."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
FOLDERS = {"kprov": ROOT / "kprov", "kprov.roles": ROOT / "roles", "kprov.testinfra": ROOT / "tests" / "testinfra"}

# From the ground up. Folders on one floor do not know each other.
FLOORS: tuple[frozenset[str], ...] = (
    frozenset({"values"}),
    frozenset({"artifacts", "lab", "objects", "pki", "transport"}),
    frozenset({"addon", "observe", "state"}),
    frozenset({"inventory", "roles", "tunnel"}),
    frozenset({"plan", "testinfra"}),
    frozenset({"apply", "preflight", "report"}),
    frozenset({"run"}),
    frozenset({"cli"}),
)
FLOOR_OF = {folder: number for number, floor in enumerate(FLOORS) for folder in floor}


class Import(NamedTuple):
    """One import between folders. `file` is below the checkout; `line` counts from 1."""

    file: str
    line: int
    folder: str
    module: str
    imported: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line} imports {self.module}: {self.folder}/ may not import {self.imported}/"


def folder_of(module: str) -> str:
    return f"{module}.".split(".")[1]


def imports(package: str, file: Path, tree: ast.AST) -> Iterator[Import]:
    module = f"{package}.{'.'.join(file.relative_to(FOLDERS[package]).with_suffix('').parts)}"
    for node in ast.walk(tree):
        targets: list[str] = []
        if isinstance(node, ast.ImportFrom) and not node.level:
            whole = node.module or ""
            targets = [f"kprov.{alias.name}" for alias in node.names] if whole == "kprov" else [whole]
        elif isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        for target in targets:
            if target.startswith("kprov.") and folder_of(target) != folder_of(module):
                name = file.relative_to(ROOT).as_posix()
                yield Import(name, node.lineno, folder_of(module), target, folder_of(target))  # type: ignore[attr-defined]


def all_imports() -> list[Import]:
    return [
        found
        for package, folder in FOLDERS.items()
        for file in sorted(folder.rglob("*.py"))
        for found in imports(package, file, ast.parse(file.read_text(encoding="utf-8")))
    ]


def broken(found: list[Import]) -> list[str]:
    return [str(one) for one in found if FLOOR_OF[one.imported] >= FLOOR_OF[one.folder]]


def test_every_folder_stands_on_a_floor() -> None:
    folders = {path.name for path in FOLDERS["kprov"].iterdir() if (path / "__init__.py").exists()}
    assert folders | {"roles", "testinfra"} == set(FLOOR_OF)


def test_a_folder_imports_only_from_lower_floors() -> None:
    found = all_imports()
    assert len(found) > 300
    assert broken(found) == []


def test_an_import_that_breaks_the_floors_names_both_files() -> None:
    file = ROOT / "kprov" / "plan" / "made_up.py"
    found = list(
        imports("kprov", file, ast.parse("\nfrom kprov.apply.engine import Engine\nfrom kprov import transport"))
    )
    assert broken(found) == [
        "kprov/plan/made_up.py:2 imports kprov.apply.engine: plan/ may not import apply/",
    ]
    assert [one.module for one in found] == ["kprov.apply.engine", "kprov.transport"]


def test_what_plans_neither_writes_nor_connects() -> None:
    """observe/ connects; plan/ may read what it brought back, and nothing that reaches a host."""
    reaching = ("kprov.apply", "kprov.transport", "kprov.observe.gather", "kprov.state")
    assert [str(one) for one in all_imports() if one.folder == "plan" and one.module.startswith(reaching)] == []
