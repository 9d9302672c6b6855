"""One command to a running QEMU by its machine protocol; knows no machine."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kprov.values.errors import LabError

_SECONDS = 30.0


def execute(path: Path, command: str, **arguments: Any) -> Any:
    """Send a command to the QEMU that listens at `path` and return its answer. Raises LabError."""
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(_SECONDS)
            connection.connect(str(path))
            lines = (json.loads(line) for line in connection.makefile("rb"))
            next(lines)  # its greeting
            _answer(lines, connection, {"execute": "qmp_capabilities"})
            return _answer(lines, connection, {"execute": command, "arguments": arguments})
    except (OSError, StopIteration, ValueError) as error:
        raise LabError("QEMU does not answer", where=str(path), found=repr(error)) from None


def _answer(lines: Iterator[dict[str, Any]], connection: socket.socket, request: dict[str, Any]) -> Any:
    connection.sendall(json.dumps(request).encode() + b"\n")
    while True:
        answer = next(lines)
        if "return" in answer:
            return answer["return"]
        if "error" in answer:  # anything else is an event that nobody asked for
            raise LabError(
                "QEMU refused a command", found=str(answer["error"].get("desc")), where=str(request["execute"])
            )
