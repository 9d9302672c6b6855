"""Decisions in a module, each taken out in one way or two; and a mutant's code in the place of a module's own."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

_SWAPPED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """lines: where it differs. change: in words. steps: the way to the function through bodies. node: its number in a walk
    through it. kind: the number of the change among those of the node.
    """

    file: str
    module: str
    function: str
    lines: tuple[int, ...]
    change: str
    steps: tuple[int, ...]
    node: int
    kind: int

    @property
    def key(self) -> str:
        """Return what it is called, also when lines above it change."""
        return f"{self.module}.{self.function}: {self.change}"

    @property
    def place(self) -> str:
        return f"{self.file}:{self.lines[0]}"


def mutants(path: Path, root: Path) -> Iterator[Mutant]:
    """Yield each decision of a module's functions taken out: conditions that always or never hold, operands that are left
    out, comparisons the other way, calls for their effect that are not made, numbers that are others.
    """
    module = ".".join(path.relative_to(root).with_suffix("").parts)
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for function, steps in _functions(tree):
        for place, node in enumerate(ast.walk(_at(tree, steps))):
            for kind, (change, _) in enumerate(_changes(node)):
                where = getattr(node, "test", getattr(node, "target", node))
                yield Mutant(
                    file=str(path), module=module, function=function, change=change, steps=steps, node=place, kind=kind,
                    lines=tuple(range(where.lineno, where.end_lineno + 1)),
                )  # fmt: skip


def _mutated(mutant: Mutant) -> ast.Module:
    tree = ast.parse(Path(mutant.file).read_text(encoding="utf-8"))
    node = next(one for number, one in enumerate(ast.walk(_at(tree, mutant.steps))) if number == mutant.node)
    for kind, (_, apply) in enumerate(_changes(node)):
        if kind == mutant.kind:
            apply(node)
            break
    return ast.fix_missing_locations(tree)


def _functions(tree: ast.AST, name: str = "", steps: tuple[int, ...] = ()) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Qualified name, and the way through bodies, of functions and of methods of classes."""
    for place, node in enumerate(getattr(tree, "body", ())):
        if isinstance(node, ast.FunctionDef):
            yield f"{name}{node.name}", (*steps, place)
        elif isinstance(node, ast.ClassDef):
            yield from _functions(node, f"{name}{node.name}.", (*steps, place))


def _at(tree: Any, steps: tuple[int, ...]) -> Any:
    for step in steps:
        tree = tree.body[step]
    return tree


def _changes(node: Any) -> Iterator[tuple[str, Any]]:
    match node:
        case ast.If() | ast.IfExp() | ast.While():
            text = ast.unparse(node.test)
            if not isinstance(node.test, ast.Constant):
                yield f"`{text}` always", lambda one: setattr(one, "test", ast.Constant(True))
                if not isinstance(node, ast.While):  # its body would never be left out otherwise than by its end
                    yield f"`{text}` never", lambda one: setattr(one, "test", ast.Constant(False))
        case ast.comprehension():
            for number, test in enumerate(node.ifs):
                yield f"`{ast.unparse(test)}` always", lambda one, number=number: one.ifs.pop(number)
        case ast.BoolOp():
            word = " and " if isinstance(node.op, ast.And) else " or "
            for number, value in enumerate(node.values):
                text = word.join(ast.unparse(other) for other in node.values)
                yield f"`{text}` without `{ast.unparse(value)}`", lambda one, number=number: one.values.pop(number)
        case ast.Compare(ops=[operator]) if type(operator) in _SWAPPED:
            swapped = _SWAPPED[type(operator)]
            if swapped in (ast.Lt, ast.LtE, ast.Gt, ast.GtE):  # the others are the condition the other way
                yield f"`{ast.unparse(node)}` at its bound", lambda one: one.ops.__setitem__(0, swapped())
        case ast.Expr(value=ast.Call() | ast.YieldFrom() | ast.Yield()):
            yield f"without `{ast.unparse(node)}`", _emptied
        case ast.Constant(value=int() as value) if not isinstance(value, bool) and value:
            yield f"{value} becomes 0", lambda one: setattr(one, "value", 0)


def _emptied(node: ast.Expr) -> None:
    """It stays what it is for the compiler: a function with a `yield` stays a generator."""
    call = node.value
    if isinstance(call, ast.YieldFrom):
        node.value = ast.YieldFrom(value=ast.Tuple(elts=[], ctx=ast.Load()))
    elif isinstance(call, ast.Yield):
        node.value = ast.BoolOp(op=ast.And(), values=[ast.Constant(False), call])
    else:
        node.value = ast.Constant(None)


def install(mutant: Mutant) -> None:
    """Give the function its other code. Whoever imported it has the same function, and so the other code too."""
    module = importlib.import_module(mutant.module)
    code = compile(_mutated(mutant), mutant.file, "exec")
    *classes, name = mutant.function.split(".")
    holder: Any = module
    for step in classes:
        code, holder = _inner(code, step), getattr(holder, step)
    found = vars(holder)[name]
    while not isinstance(found, FunctionType):  # a property, or what a decorator made of it
        found = getattr(found, "fget", None) or getattr(found, "__wrapped__", None) or found.__func__
    found = getattr(found, "__wrapped__", found)
    found.__code__ = _inner(code, name)


def _inner(code: CodeType, name: str) -> CodeType:
    return next(one for one in code.co_consts if isinstance(one, CodeType) and one.co_name == name)
