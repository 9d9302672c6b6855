"""The program that is sent: all that a batch's operations may call is in it, and little else."""

from __future__ import annotations

import re
import subprocess

import pytest

from kprov.apply import program, scripts, wire
from kprov.apply.wire_format import OPERATIONS

WHOLE = scripts.text("apply.sh").decode()
WORDS = sorted(OPERATIONS)
assert wire.File.word in WORDS  # they are declared there
FUNCTIONS = frozenset(re.findall(r"^([a-z_0-9]+)\(\)", WHOLE, re.MULTILINE))


def defined(text: str) -> set[str]:
    return set(re.findall(r"^([a-z_0-9]+)\(\)", text, re.MULTILINE))


@pytest.mark.parametrize("word", WORDS)
def test_every_function_whose_name_is_left_is_there(word: str) -> None:
    text = program.cut(frozenset({word})).decode()
    named = set(re.findall(r"[a-z_0-9]+", text)) & FUNCTIONS
    assert defined(text) == named | ({"do_gate", "do_steady"} if "ask_again" in named else set())
    assert {f"do_{word}", "main", "end"} <= named
    assert subprocess.run(["sh", "-n"], input=text.encode(), capture_output=True, check=False).stderr == b""


def test_the_program_with_all_operations_is_the_whole_one_without_comments() -> None:
    text = program.cut(frozenset(WORDS)).decode()
    assert defined(text) == FUNCTIONS
    kept = [line for line in WHOLE.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    assert [line for line in text.splitlines() if line.strip()] == kept


def test_what_a_unit_was_asked_is_asked_again_though_no_operation_of_the_batch_asks_it() -> None:
    """Stamps name their questions, on the host; nothing in the program does."""
    assert {"do_gate", "do_steady"} <= defined(program.cut(frozenset({"keep", "restart"})).decode())


def test_a_batch_that_writes_a_file_gets_half_of_the_program() -> None:
    text = program.cut(frozenset({"file"})).decode()
    assert len(text) < len(WHOLE) / 2
    assert not {"do_image", "do_package", "do_restore_snapshot"} & defined(text)
