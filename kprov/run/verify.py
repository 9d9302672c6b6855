"""`kprov verify`: runs the shipped checks against the machines of an inventory. It changes nothing and asks no report.

The checks are the package kprov.testinfra; pytest runs them in this process, over kprov's own connections.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from kprov.inventory import load
from kprov.state.store import Store, state_folder
from kprov.transport import SshTransport, Transport
from kprov.values.secret import Secret

PASSED = 0
FAILED = 1
INTERRUPTED = 130


def run(
    inventory: Path,
    *,
    junit: Path | None = None,
    arguments: Sequence[str] = (),
    state_dir: Path | None = None,
    passphrase: Secret | None = None,
    transport: Transport | None = None,
) -> int:
    """Runs every check for every host it is about and prints pytest's report.

    Args:
        inventory: the YAML file.
        junit: where a JUnit XML report is written.
        arguments: more for pytest: options (`-k dns`, `-v`, `-x`), or paths of checks of your own, which may use the
            fixtures of kprov.testinfra.plugin.
        state_dir, passphrase: where the cluster's keys are and what opens them; the API is asked as an administrator.
        transport: how hosts are reached, SSH by default.

    Returns 0 when all passed, 1 when one failed or none ran, 130 when interrupted. A host that cannot be reached is a
    failed check. Raises InventoryError and StoreError.
    """
    import pytest

    from kprov.testinfra.fleet import Fleet
    from kprov.testinfra.plugin import Suite

    cluster = load(inventory).cluster
    store = Store.open(
        state_folder(inventory, cluster.name, state_dir), cluster.name, passphrase, cluster.pki.authorities
    )
    store.trust()  # no keys, or no passphrase for them: say so before any host is asked
    fleet = Fleet(cluster, store, transport if transport is not None else SshTransport())
    try:
        status = pytest.main(options(junit, arguments), plugins=[Suite(fleet)])
    finally:
        fleet.close()
    if status == pytest.ExitCode.INTERRUPTED:
        return INTERRUPTED
    return PASSED if status == pytest.ExitCode.OK else FAILED


def options(junit: Path | None, arguments: Sequence[str]) -> list[str]:
    """pytest's command line: the shipped checks, and nothing of what the current folder configures for its own."""
    import kprov.testinfra

    folder = Path(kprov.testinfra.__path__[0])
    return [
        *("-c", os.devnull, "--rootdir", str(folder)),
        *(
            "-p",
            "no:pytest11.testinfra",
            "-p",
            "no:cacheprovider",
            "-p",
            "no:warnings",
        ),  # its own host fixture and SSH; a cache in the user's folder
        *("--import-mode=importlib", "--strict-markers", "-ra", "--tb=short"),
        *((f"--junitxml={junit}",) if junit is not None else ()),
        str(folder),
        *arguments,
    ]
