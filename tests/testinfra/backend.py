"""pytest-testinfra on kprov's own connections: host keys, jump hosts and sudo as in `kprov up`, one connection a host.

testinfra's own SSH backends would accept other host keys than the inventory pins, and cannot give sudo a password.
"""

from __future__ import annotations

from typing import Any

from testinfra.backend import base

from kprov.transport import Session

TIMEOUT = 60.0  # seconds for one command


class KprovBackend(base.BaseBackend):
    """A host of the inventory, as root."""

    NAME = "kprov"

    def __init__(self, session: Session) -> None:
        super().__init__(session.host.name)
        self.session = session

    def run(self, command: str, *args: str, **kwargs: Any) -> base.CommandResult:
        """Raises TransportError when the connection is lost or the command takes longer than a minute."""
        line = self.get_command(command, *args)
        result = self.session.execute(line, timeout=TIMEOUT)
        return self.result(result.status, line.encode(), result.stdout, result.stderr)

    @property
    def encoding(self) -> str:
        return "utf-8"  # the base class would look for a Python on the host

    def decode(self, data: bytes) -> str:
        return data.decode(errors="replace")
