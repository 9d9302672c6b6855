"""The shell program as it is sent: cut down to the functions that a batch's operations reach. Pure.

Every host gets it with every batch, and a batch that writes one file reaches a quarter of it. It must leave out nothing
that may be called: a function stays if any that stays has its name in it, be it as a plain word.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

from kprov.apply import scripts

_BEGINS = re.compile(r"([a-z_0-9]+)\(\) [{(]")
_ONE_LINE = re.compile(r"[})](?: #.*)?\n")  # how a function ends that is whole in its first line
_WORD = re.compile(r"[a-z_0-9]+")
_COMMENT = re.compile(r"[ \t]*#")
# What is called by a name that stands in a file on the host: a stamp has what its unit is asked.
_INDIRECT: Mapping[str, tuple[str, ...]] = {"ask_again": ("do_gate", "do_steady")}


@lru_cache(maxsize=256)
def cut(words: frozenset[str]) -> bytes:
    """Return the program that carries out operations of these words, in the order of the whole one."""
    pieces = _pieces()
    calls = {name: {*_WORD.findall(text), *_INDIRECT.get(name, ())} for name, text in pieces if name}
    waiting = {f"do_{word}" for word in words}.union(*(_WORD.findall(text) for name, text in pieces if not name))
    reached: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in calls and name not in reached:
            reached.add(name)
            waiting |= calls[name]
    return "".join(text for name, text in pieces if not name or name in reached).encode()


@lru_cache(maxsize=1)
def _pieces() -> tuple[tuple[str, str], ...]:
    """Return functions, each with its name, and lines between them, with none; lines of comment are left out."""
    pieces: list[tuple[str, str]] = []
    inside = ""
    for line in scripts.text("apply.sh").decode().splitlines(keepends=True):
        if _COMMENT.match(line):
            continue
        begins = None if inside else _BEGINS.match(line)
        if inside:
            pieces[-1] = (inside, pieces[-1][1] + line)
            inside = "" if line[0] in "})" else inside
        elif begins:
            pieces.append((begins[1], line))
            inside = "" if _ONE_LINE.search(line) else begins[1]
        elif line.strip():
            pieces.append(("", line))
    return tuple(pieces)
