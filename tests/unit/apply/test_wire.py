"""The wire against the program that reads it: each operation is a function with these arguments, and the other way round."""

from __future__ import annotations

import re

import pytest

from kprov.apply import scripts, wire
from kprov.apply.wire_format import OPERATIONS, Operation, read

PROGRAM = scripts.text("apply.sh").decode()
HEADER = re.compile(r"^do_([a-z_]+)\(\) \{(?:[^#\n]*#([^\n]*))?", re.MULTILINE)


def functions() -> dict[str, tuple[str, ...]]:
    """Word → the names of the arguments, as the function's header says them: up to the colon, commas between."""
    found = {}
    for word, comment in HEADER.findall(PROGRAM + "\n"):
        names = (comment or "").partition(":")[0].strip()
        found[word] = tuple(name.strip().replace(" ", "_") for name in names.split(",") if name.strip())
    return found


def body(word: str) -> str:
    """The text of a function of the program."""
    text = PROGRAM[PROGRAM.index(f"\n{word}() {{") + 1 :]
    line, _, rest = text.partition("\n")
    return line if line.rstrip().endswith("}") or "; } #" in line else line + rest[: rest.index("\n}")]


LATER = {"check": "check_file"}  # what does the work of an operation, when its turn has come


def reaches(word: str, called: str) -> bool:
    return re.search(rf"\b{called} \"", body(LATER.get(word, f"do_{word}"))) is not None


def test_every_operation_is_a_function_of_the_program_and_every_function_an_operation() -> None:
    assert len(functions()) == len(re.findall(r"^do_[a-z_]+\(\)", PROGRAM, re.MULTILINE))
    assert {word: kind.arguments() for word, kind in OPERATIONS.items()} == functions()


def test_no_operation_has_more_arguments_than_the_program_reads() -> None:
    names = re.search(r"read -r number operation ((?:[a-z] )+)*([a-z]); do", PROGRAM)
    assert names is not None
    read_at_once = len(names[0].split()) - len(["read", "-r", "number", "operation", "do"])
    assert max(len(kind.arguments()) for kind in OPERATIONS.values()) <= read_at_once


@pytest.mark.parametrize("word", OPERATIONS)
def test_an_operation_answers_as_its_function_does(word: str) -> None:
    answers = OPERATIONS[word].answers
    assert ("note" in answers) == reaches(word, "note")
    assert ("told" in answers) == reaches(word, "tell")
    assert ("answer" in answers) == ("printf 'answer" in body(f"do_{word}"))


@pytest.mark.parametrize("word", OPERATIONS)
def test_what_is_awaited_has_a_deadline_and_nothing_else_waits(word: str) -> None:
    waits = any(clock in body(f"do_{word}") for clock in ("$(date +%s)", 'late "$1"'))  # of the wall, of the unit
    own = word in ("objects", "first_list", "addon")  # these have one of their own
    assert waits == ("seconds" in OPERATIONS[word].arguments() or own)


def filled(kind: type[Operation]) -> Operation:
    """An operation with a value in each field, of its kind."""
    values: dict[str, object] = {}
    for name, hint in kind.__annotations__.items():
        given = {"int": 7, "bool": True, "tuple[str, ...]": ("a b", "c")}
        values[name] = given.get(hint, f"{name} x")
    return kind(**values)


@pytest.mark.parametrize("kind", OPERATIONS.values(), ids=lambda kind: kind.word)
def test_an_operation_is_read_back_as_it_was_written(kind: type[Operation]) -> None:
    operation = filled(kind)
    row = operation.row()
    assert read(row) == operation
    assert all(row), "the shell's read would swallow an empty field"
    assert not any("\t" in field or "\n" in field for field in row)
    assert operation.expected


def test_what_is_empty_is_written_as_a_word_and_read_back_empty() -> None:
    for operation in (
        wire.ReloadUnits(),
        wire.Gate(kind="command", seconds=1, argument="true"),
        wire.Ask(program="kubectl", asked=("get",)),
    ):
        assert "-" in operation.row()
        assert read(operation.row()) == operation


def test_a_row_with_a_field_too_few_or_too_many_is_refused() -> None:
    for row in (("stamp", "x.service"), ("stamp", "x.service", "1", "2")):
        with pytest.raises(ValueError, match="zip"):
            read(row)
    with pytest.raises(KeyError):
        read(("unheard_of",))
