"""What every command works with: the cluster, the operator's folder, how hosts are reached, who hears about it.

It opens nothing and sends nothing by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from kprov.artifacts.progress import Progress
from kprov.plan.kms_findings import is_asked
from kprov.state.credential import credential
from kprov.state.store import Store
from kprov.transport.base import Transport
from kprov.values.certificate import NOTHING, Renewal
from kprov.values.events import Sink
from kprov.values.model import Cluster


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the command line said. `limit`: names of hosts to touch, None for all."""

    limit: frozenset[str] | None = None
    delete_data: bool = False  # what removed add-ons left behind goes too
    recreate: frozenset[str] = frozenset()  # add-ons whose workloads may be deleted to be changed
    forks: int = 50
    deep: bool = False
    backup: bool = True  # whether one is taken before what cannot be taken back
    renew: Renewal = NOTHING  # certificates that get a new key


@dataclass(frozen=True, kw_only=True)
class Workspace:
    """One command's. `cache`: the folder of artifacts. `lock_file`: pins of artifacts beside the inventory. inventory: its
    file.

    places: of the inventory's keys, dotted → `FILE:LINE`.
    """

    cluster: Cluster
    store: Store
    transport: Transport
    cache: Path
    lock_file: Path | None
    emit: Sink
    progress: Progress
    options: Options = field(default_factory=Options)
    places: Mapping[str, str] = field(default_factory=dict)
    inventory: Path | None = None

    @property
    def credential(self) -> Callable[[], bytes] | None:
        """Makes a short-lived kubeconfig for a control plane host; None while the cluster has no CAs."""
        return partial(credential, self.cluster, self.store) if self.store.exists else None

    @property
    def asks_kms(self) -> bool:
        """Whether a KMS encrypts objects, or has and is read by. Raises StoreError."""
        return self.store.exists and is_asked(self.cluster.api.encryption, self.store.trust().encrypted_by)
