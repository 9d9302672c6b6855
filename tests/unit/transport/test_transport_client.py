"""Many connections made at once out of one configuration: none sees it half filled."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from kprov.transport.paramiko_client import Opener, Settings
from kprov.values.model import Connection


@pytest.fixture
def _hurried() -> Iterator[None]:
    """Threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("_hurried")
def test_connections_can_be_made_by_many_threads_at_once() -> None:
    opener = Opener(Settings.load(ssh_config=None, known_hosts=(), ask_passphrase=None))

    def port(number: int) -> int:
        _, target, _ = opener._prepare(f"h{number}", Connection(address="192.0.2.1", user="x"), False)
        return target.port

    with ThreadPoolExecutor(16) as pool:
        assert set(pool.map(port, range(200))) == {22}
