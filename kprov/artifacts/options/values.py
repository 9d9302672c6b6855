"""Kinds of values that upstream's programs parse, and whether a text is of one. Knows no flag, field or version."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from ipaddress import ip_address, ip_network

DURATION = re.compile(r"[-+]?(0|(([0-9]+(\.[0-9]*)?|\.[0-9]+)(h|ms|m|s|us|µs|ns))+)")
QUANTITY = re.compile(r"[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+|[numkMGTPE]|[KMGTPE]i)?")
_INTEGER = re.compile(r"[-+]?(0[xX][0-9a-fA-F]+|0[oO]?[0-7]+|0[bB][01]+|[0-9]+)")
_FLOAT = re.compile(r"[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?")
_BOOLEANS = frozenset({"1", "0", "t", "f", "T", "F", "true", "false", "TRUE", "FALSE", "True", "False"})

WORDS: Mapping[str, str] = {
    "bool": "true or false",
    "int": "a whole number",
    "uint": "a whole number, 0 or more",
    "float": "a number",
    "duration": "a duration such as 30s, 5m or 1h30m",
    "quantity": "a quantity such as 500Mi or 100m",
    "ip": "an IP address",
    "cidr": "a network such as 10.0.0.0/8",
    "map": "KEY=VALUE, several joined by ','",
    "switches": "NAME=true or NAME=false, several joined by ','",
}


def _address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _network(text: str) -> bool:
    try:
        ip_network(text, strict=False)
    except ValueError:
        return False
    return "/" in text


def _switches(text: str) -> bool:
    return all(
        separator and name and value.strip() in _BOOLEANS
        for name, separator, value in (part.partition("=") for part in text.split(",") if part)
    )


def _map(text: str) -> bool:
    return all("=" in part for part in text.split(",") if part)


_PARSERS: Mapping[str, Callable[[str], object]] = {
    "bool": _BOOLEANS.__contains__,
    "int": _INTEGER.fullmatch,
    "uint": lambda text: _INTEGER.fullmatch(text) and not text.startswith("-"),
    "float": _FLOAT.fullmatch,
    "duration": DURATION.fullmatch,
    "quantity": QUANTITY.fullmatch,
    "ip": lambda text: not text or _address(text),
    "cidr": _network,
    "map": _map,
    "switches": _switches,
}


def parses(kind: str, text: str) -> bool:
    """Return whether a program takes `text` for a value of this kind. A kind without a rule here takes any text."""
    return kind not in _PARSERS or bool(_PARSERS[kind](text))
