"""The exit codes of kprov, and what a command leaves behind for the moment it fails. Prints nothing."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from kprov.report.redact import Redactor
from kprov.values.errors import KprovError

DONE = 0
FAILED = 1
CHANGES = 2
PARTLY = 3
INTERRUPTED = 130  # 128 + SIGINT, as shells have it

EXIT_CODES = """\
Exit codes: 0 done, or nothing to do; 1 an error, and nothing on any host was touched; 2 `kprov plan` found changes;
3 a part of the work was done before it failed: the same command goes on from there; 130 interrupted.
"""


def _not_touched() -> bool:
    return False


@dataclass(kw_only=True)
class State:
    """What is known of a command when it fails: whether hosts were touched, where the log is, how much to say.

    touched: whether anything was sent to a host that could change it. tell: hands an error to programs that read
    JSON. keep: writes text into the log. close: ends what draws on the terminal.
    """

    redactor: Redactor = field(default_factory=Redactor)
    verbose: bool = False
    log: Path | None = None
    touched: Callable[[], bool] = _not_touched
    tell: Callable[[KprovError], None] = lambda _: None
    keep: Callable[[str], None] = lambda _: None
    close: Callable[[], None] = lambda: None

    def trace(self, error: Exception) -> str:
        """The traceback without secrets."""
        return self.redactor.clean("".join(traceback.format_exception(error)))
