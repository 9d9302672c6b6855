"""Which tests execute which lines: a plugin of pytest over coverage."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import coverage
import pytest


class Covering:
    """files: whose lines are looked at."""

    def __init__(self, files: Sequence[Path]) -> None:
        self._files = files
        self._coverage: Any = coverage.Coverage(
            data_file=None, include=[str(path) for path in files], config_file=False
        )
        self._seconds: dict[str, float] = {}
        self._coverage.start()

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self._coverage.switch_context(item.nodeid)
        began = time.monotonic()
        yield
        self._seconds[item.nodeid] = time.monotonic() - began
        self._coverage.switch_context("")

    def tests(self) -> dict[tuple[str, int], list[str]]:
        """Return file and line → the tests that execute it, by their ids, the quickest first. Ends the recording."""
        self._coverage.stop()
        data = self._coverage.get_data()
        found: dict[tuple[str, int], list[str]] = {}
        for path in self._files:
            for line, contexts in data.contexts_by_lineno(str(path)).items():
                found[str(path), line] = sorted(filter(None, contexts), key=lambda test: self._seconds.get(test, 0.0))
        return found
