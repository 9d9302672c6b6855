"""The flag that writes what roles say now into their cases, for a human to read the difference."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-cases", action="store_true", help="write the roles' present output into tests/roles/cases"
    )
