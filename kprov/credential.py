"""The kubeconfig that a run itself uses on a control plane host. It is short-lived and never stored here."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from kprov.model import Cluster
from kprov.pki.kubeconfig import embedded
from kprov.pki.table import super_admin_spec
from kprov.store import Store

LIFE = timedelta(hours=1)


def credential(cluster: Cluster, store: Store) -> bytes:
    """A kubeconfig for kprov's own work on a control plane host: members of system:masters, for one hour."""
    authority = store.authority("kubernetes")
    issued = authority.issue(super_admin_spec(cluster), datetime.now(UTC), life=LIFE)
    text = embedded(
        "kprov", "https://127.0.0.1:6443", store.ca["kubernetes"], issued.cert_pem, issued.key_pem, "kprov-run"
    )
    return text.encode()
