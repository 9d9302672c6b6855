"""The one I/O seam to hosts. Importing it loads no SSH library; the first SSH connection does."""

from kprov.transport.base import (
    Count,
    Counters,
    Held,
    Input,
    OnOutput,
    Result,
    Session,
    Stream,
    Transport,
    connect_many,
)
from kprov.transport.local import LocalTransport
from kprov.transport.ssh import SshTransport

__all__ = [
    "Count",
    "Counters",
    "Held",
    "Input",
    "LocalTransport",
    "OnOutput",
    "Result",
    "Session",
    "SshTransport",
    "Stream",
    "Transport",
    "connect_many",
]
