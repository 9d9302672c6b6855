"""A DNS question for one address record as bytes, and its answer parsed (RFC 1035). Sends nothing."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address

_A, _IN = 1, 1
_HEADER = struct.Struct("!HHHHHH")
_RECORD = struct.Struct("!HHIH")
_POINTER = 0xC0


class DnsError(Exception):
    """The answer is no answer to the question, or says that there is none."""


def question(name: str, identity: int) -> bytes:
    """The query for the A records of a name; `identity` is 16 bits that the answer must repeat."""
    labels = b"".join(bytes([len(label)]) + label.encode("ascii") for label in name.rstrip(".").split("."))
    recursion_desired = 0x0100
    return _HEADER.pack(identity, recursion_desired, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!HH", _A, _IN)


def addresses(answer: bytes, identity: int) -> tuple[IPv4Address, ...]:
    """The A records of an answer. Raises DnsError for another identity, an error code or a broken message."""
    try:
        found, flags, questions, answers, _, _ = _HEADER.unpack_from(answer)
        if found != identity:
            raise DnsError("this answers another question")
        if not flags & 0x8000 or flags & 0x000F:
            raise DnsError(f"the server answers with code {flags & 0x000F} (3: no such name)")
        at = _HEADER.size
        for _ in range(questions):
            at = _after_name(answer, at) + 4
        records = []
        for _ in range(answers):
            at = _after_name(answer, at)
            kind, _, _, length = _RECORD.unpack_from(answer, at)
            at += _RECORD.size
            if kind == _A and length == 4:
                records.append(IPv4Address(answer[at : at + 4]))
            at += length
    except (struct.error, IndexError, ValueError):
        raise DnsError(f"a broken answer of {len(answer)} bytes") from None
    return tuple(records)


def _after_name(message: bytes, at: int) -> int:
    while (length := message[at]) != 0:
        if length & _POINTER == _POINTER:
            return at + 2
        at += length + 1
    return at + 1
