"""One YAML text → a tree whose every node knows its line and column; knows nothing of clusters and reads no file.

The reader is stricter than YAML: no duplicate keys, no tags, no merge keys, one document, and bounds on depth, aliases
and size. Plain words and numbers which YAML 1.1 and 1.2 read differently are marked (`Node.trap`) and not guessed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NoReturn

import yaml

from kprov.inventory.mistakes import Mark, Mistakes, Path
from kprov.values.yaml_text import LOADER

MAX_BYTES = 1 << 20
MAX_DEPTH = 20
MAX_ALIASES = 100
MAX_NODES = 250_000

_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_SWITCH = re.compile(r"(?i:yes|no|on|off)\Z")
_INT = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})\Z")
_FLOAT = re.compile(r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?\Z|[-+]?[0-9]+[eE][-+]?[0-9]+\Z")
_ODD_NUMBER = re.compile(
    r"[-+]?(0[0-9_]+|0o[0-7]+|0x[0-9a-fA-F_]+|0b[01_]+|[0-9]+_[0-9_]*|[1-9][0-9]*(:[0-5]?[0-9])+|\.(?i:inf)|[0-9]{19,})\Z"
    r"|\.(?i:nan)\Z"
)
_CREDENTIALS = re.compile(r"//[^/]*@")  # of a URL; must not be shown
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Node:
    """One value of the file.

    value: str, int, float, bool or None for a scalar; dict of key → Node, or list of Node. text: a scalar as it stands
    in the file. keys: where each key stands. trap: why a plain scalar cannot be taken as it stands, or empty.
    """

    __slots__ = ("height", "keys", "mark", "size", "text", "trap", "value")

    def __init__(self, mark: Mark, value: Any, *, text: str = "", trap: str = "") -> None:
        self.mark = mark
        self.value = value
        self.text = text
        self.trap = trap
        self.keys: dict[str, Mark] = {}
        self.size = 1
        self.height = 0

    def adopt(self, child: Node) -> None:
        """Count a child in: `size` is the number of values below and here, `height` the levels below."""
        self.size += child.size
        self.height = max(self.height, child.height + 1)

    def plain(self) -> Any:
        """The value without positions."""
        if isinstance(self.value, dict):
            return {key: child.plain() for key, child in self.value.items()}
        if isinstance(self.value, list):
            return [child.plain() for child in self.value]
        return self.value

    def found(self) -> str:
        """What stands here, short enough for a message."""
        if isinstance(self.value, dict):
            return f"a mapping ({', '.join(list(self.value)[:4])}{', …' if len(self.value) > 4 else ''})"
        if isinstance(self.value, list):
            return f"a list of {len(self.value)}"
        if self.value is None:
            return "nothing"
        shown = _CREDENTIALS.sub("//***@", self.text)
        shown = shown if len(shown) <= 60 else f"{shown[:57]}…"
        return repr(shown) if isinstance(self.value, str) else shown

    def at(self, path: Path) -> Node:
        """The node at a path, or the deepest one on the way to it."""
        node = self
        for step in path:
            if isinstance(node.value, dict) and step in node.value:
                node = node.value[str(step)]
            elif isinstance(node.value, list) and isinstance(step, int) and step < len(node.value):
                node = node.value[step]
            else:
                break
        return node

    def key_mark(self, path: Path) -> Mark:
        """Where the key that ends a path stands; the value's place when it is no key."""
        parent = self.at(path[:-1])
        return parent.keys.get(str(path[-1]), parent.mark) if path else self.mark

    def walk(self, path: Path = ()) -> Iterator[tuple[Path, Node]]:
        """Every node with its path, in file order."""
        yield path, self
        if isinstance(self.value, dict):
            for key, child in self.value.items():
                yield from child.walk((*path, key))
        elif isinstance(self.value, list):
            for index, child in enumerate(self.value):
                yield from child.walk((*path, index))


class _Stop(Exception):
    """The text cannot be read any further; the mistake is noted already."""


def compose(text: str, mistakes: Mistakes) -> Node | None:
    """The tree of the one document in `text`, or None when it cannot be read; what is wrong is added to `mistakes`."""
    odd = _UNPRINTABLE.search(text)
    if odd:
        line = text.count("\n", 0, odd.start()) + 1
        column = odd.start() - text.rfind("\n", 0, odd.start())
        mistakes.add(
            Mark(line, column),
            f"character U+{ord(odd[0]):04X} cannot stand in an inventory",
            needed="UTF-8 text without control characters",
            todo="remove it; was the file copied from another program?",
        )
        return None
    composer = _Composer(text, mistakes)
    try:
        return composer.document()
    except _Stop:
        return None
    except yaml.YAMLError as error:
        _explain(error, text, mistakes)
        return None


class _Composer:
    """YAML events → nodes, counting what aliases expand to."""

    def __init__(self, text: str, mistakes: Mistakes) -> None:
        self._events = yaml.parse(text, Loader=LOADER)
        self._mistakes = mistakes
        self._anchors: dict[str, Node | None] = {}
        self._aliases = 0
        self._nodes = 0

    def document(self) -> Node | None:
        root: Node | None = None
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                if root is not None:
                    self._stop(event, "a second document starts here", needed="one document", todo="remove this '---'")
                root = self._node(next(self._events), 0)
        return root

    def _stop(self, event: Any, what: str, *, needed: str = "", todo: str = "") -> NoReturn:
        self._mistakes.add(_mark(event), what, needed=needed, todo=todo)
        raise _Stop

    def _node(self, event: Any, depth: int) -> Node:
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, depth)
        if depth > MAX_DEPTH:
            self._stop(event, "nested too deeply", needed=f"at most {MAX_DEPTH} levels")
        self._count(event, 1)
        if event.anchor:
            self._anchors[event.anchor] = None
        if isinstance(event, yaml.ScalarEvent):
            node = _scalar(event)
        elif isinstance(event, yaml.SequenceStartEvent):
            node = self._sequence(event, depth)
        else:
            node = self._mapping(event, depth)
        if event.tag and not (isinstance(event, yaml.ScalarEvent) and event.tag == "!"):
            self._mistakes.add(
                _mark(event), "YAML tags ('!…') are not supported", todo="remove the tag, or quote the text"
            )
        if event.anchor:
            self._anchors[event.anchor] = node
        return node

    def _count(self, event: Any, nodes: int) -> None:
        self._nodes += nodes
        if self._nodes > MAX_NODES:
            self._stop(
                event, "too many values", needed=f"at most {MAX_NODES}, aliases counted as often as they are used"
            )

    def _alias(self, event: Any, depth: int) -> Node:
        node = self._anchors.get(event.anchor)
        self._aliases += 1
        if node is None:
            self._stop(
                event, "an alias ('*…') without a finished anchor ('&…') before it", todo="write the value itself"
            )
        if self._aliases > MAX_ALIASES:
            self._stop(event, "too many aliases ('*…')", needed=f"at most {MAX_ALIASES}", todo="use `groups` instead")
        if depth + node.height > MAX_DEPTH:
            self._stop(event, "nested too deeply", needed=f"at most {MAX_DEPTH} levels")
        self._count(event, node.size)
        return node

    def _sequence(self, event: Any, depth: int) -> Node:
        items: list[Node] = []
        node = Node(_mark(event), items)
        for child in self._events:
            if isinstance(child, yaml.SequenceEndEvent):
                break
            item = self._node(child, depth + 1)
            items.append(item)
            node.adopt(item)
        return node

    def _mapping(self, event: Any, depth: int) -> Node:
        entries: dict[str, Node] = {}
        node = Node(_mark(event), entries)
        for key in self._events:
            if isinstance(key, yaml.MappingEndEvent):
                break
            if not isinstance(key, yaml.ScalarEvent):
                self._stop(
                    key, "a key must be plain text", todo="write `key: value`; quote text that starts with * & [ or {"
                )
            value = self._node(next(self._events), depth + 1)
            self._enter(node, key, value)
        return node

    def _enter(self, node: Node, key: Any, value: Node) -> None:
        mark, name = _mark(key), key.value
        if name == "<<" and key.implicit[0]:
            self._mistakes.add(
                mark, "merge keys ('<<') are not supported", todo="use `groups` for what hosts have in common"
            )
        elif name in node.keys:
            first = node.keys[name]
            self._mistakes.add(
                mark,
                f"key {name!r} stands here a second time; the first is in line {first.line}",
                needed="each key once",
                todo="keep one of the two",
            )
        else:
            node.keys[name] = mark
            node.value[name] = value
            node.adopt(value)


def _mark(event: Any) -> Mark:
    return Mark(event.start_mark.line + 1, event.start_mark.column + 1)


def _scalar(event: Any) -> Node:
    text = event.value
    mark = _mark(event)
    if not event.implicit[0]:
        return Node(mark, text, text=text)
    if text in _NULL:
        return Node(mark, None, text=text)
    if text in _BOOL:
        return Node(mark, _BOOL[text], text=text)
    first = text[0]
    if first in "0123456789+-.":
        if _INT.match(text):
            return Node(mark, int(text), text=text)
        if _ODD_NUMBER.match(text):
            return Node(mark, text, text=text, trap="number")
        if _FLOAT.match(text):
            return Node(mark, float(text), text=text)
    elif first in "yYnNoO" and _SWITCH.match(text):
        return Node(mark, text, text=text, trap="switch")
    return Node(mark, text, text=text)


def _explain(error: yaml.YAMLError, text: str, mistakes: Mistakes) -> None:
    """PyYAML's complaint at its place; a tab in the indentation is named as such."""
    place = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    lines = text.split("\n")
    line = min(place.line, len(lines) - 1) if place else 0
    mark = Mark(line + 1, (place.column if place else 0) + 1)
    indentation = re.match(r"[ \t]*", lines[line])
    tab = indentation[0].find("\t") if indentation else -1
    if tab >= 0:
        mistakes.add(
            Mark(line + 1, tab + 1), "a tab in the indentation", needed="spaces", todo="replace the tab by two spaces"
        )
        return
    problem = getattr(error, "problem", None) or "it cannot be parsed"
    context = getattr(error, "context", None)
    mistakes.add(
        mark,
        f"not valid YAML: {problem}" + (f" ({context})" if context else ""),
        todo="look at this line and the one before it: indentation, colons, brackets and quotes",
    )
