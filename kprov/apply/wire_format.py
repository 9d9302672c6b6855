"""How an operation of the wire is written as a row of fields, and read back. Values only; what operations there are is
declared in kprov.apply.wire.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal, cast, dataclass_transform, get_origin, get_type_hints

Answer = Literal["ok", "told", "answer", "note"]

NOTHING = "-"  # stands for an empty field: the shell's `read` would swallow one
_YES = "yes"
_BETWEEN = "\x1f"  # the words of one field: Unicode's unit separator

OPERATIONS: dict[str, type[Operation]] = {}  # by word


@dataclass_transform(kw_only_default=True, frozen_default=True)
class Operation:
    """One row of what is sent: a subclass is a frozen dataclass, whose fields are the arguments in their order.

    word: what the program calls it. answers: what it may say besides `fail`; `told`, `answer` and `note` come before
    `ok`. changes: whether it may change anything; else it only looks or
    waits.
    """

    word: ClassVar[str] = ""
    answers: ClassVar[tuple[Answer, ...]] = ("ok",)
    changes: ClassVar[bool] = True

    def __init_subclass__(cls, answers: tuple[Answer, ...] = ("ok",), changes: bool = True) -> None:
        dataclass(frozen=True, kw_only=True)(cls)
        cls.word = re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower()
        cls.answers = answers
        cls.changes = changes
        OPERATIONS[cls.word] = cls

    @classmethod
    def arguments(cls) -> tuple[str, ...]:
        """Return the names of the arguments, in their order."""
        return tuple(field.name for field in fields(cast("Any", cls)))

    def row(self) -> tuple[str, ...]:
        """Return the fields as the program reads them. Raises ValueError for a value with a tab or a line break."""
        return (self.word, *self._written())

    def _written(self) -> Iterator[str]:
        for name in self.arguments():
            text = _written(getattr(self, name))
            if "\t" in text or "\n" in text:
                raise ValueError(f"{self.word}: {name} holds a tab or a line break")
            yield text

    @property
    def expected(self) -> str:
        """Say what was to happen, for the error that tells that it did not."""
        return self.word.replace("_", " ")


def read(row: Sequence[str]) -> Operation:
    """Return the operation of a row. Raises KeyError for an unknown word, ValueError for a wrong number of fields."""
    word, *texts = row
    kind = OPERATIONS[word]
    hints = get_type_hints(kind)
    values = {name: _read(text, hints[name]) for name, text in zip(kind.arguments(), texts, strict=True)}
    return kind(**values)


def _written(value: str | int | bool | tuple[str, ...]) -> str:
    if isinstance(value, bool):
        return _YES if value else NOTHING
    if isinstance(value, tuple):
        return _BETWEEN.join(value) or NOTHING
    return str(value) or NOTHING


def _read(text: str, hint: object) -> str | int | bool | tuple[str, ...]:
    if hint is bool:
        return text == _YES
    if hint is int:
        return int(text)
    text = "" if text == NOTHING else text
    if get_origin(hint) is tuple:
        return tuple(text.split(_BETWEEN)) if text else ()
    return text
