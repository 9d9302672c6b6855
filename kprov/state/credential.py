"""The credentials that kprov itself uses: a kubeconfig for work on a control plane, TLS for questions from here.

They are short-lived, and no key is stored here.
"""

from __future__ import annotations

import ssl
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from kprov.pki.kubeconfig import embedded
from kprov.pki.table import super_admin_spec
from kprov.state.store import Store
from kprov.values.certificate import CertificateSpec
from kprov.values.components import KUBE_APISERVER
from kprov.values.model import Cluster

LIFE = timedelta(hours=1)
_LOCAL_API = f"https://127.0.0.1:{KUBE_APISERVER.port('https')}"


def credential(cluster: Cluster, store: Store) -> bytes:
    """A kubeconfig for kprov's own work on a control plane host: members of system:masters, for one hour."""
    authority = store.authority("kubernetes")
    issued = authority.issue(super_admin_spec(cluster), datetime.now(UTC), life=LIFE)
    text = embedded(
        "kprov",
        f"https://127.0.0.1:{KUBE_APISERVER.port('https')}",
        store.bundle["kubernetes"],
        issued.cert_pem,
        issued.key_pem,
        "kprov-run",
    )
    return text.encode()


def trusting(store: Store) -> ssl.SSLContext:
    """TLS that trusts the cluster's CA alone, whatever is above it. Raises StoreError."""
    context = ssl.create_default_context(cadata=store.bundle["kubernetes"].decode("ascii"))
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN  # it need not have signed itself
    return context


def client_tls(store: Store, spec: CertificateSpec, life: timedelta) -> ssl.SSLContext:
    """TLS that trusts the cluster's CA and shows a fresh client certificate; its key stays in memory."""
    __tracebackhide__ = True
    issued = store.authority("kubernetes").issue(spec, datetime.now(UTC), life=life)
    context = trusting(store)
    with tempfile.TemporaryDirectory(prefix="kprov-") as folder:  # mode 0700; ssl reads files only
        pair = Path(folder) / "client.pem"
        pair.touch(mode=0o600)
        pair.write_bytes(issued.cert_pem + issued.key_pem)
        context.load_cert_chain(pair)
    return context
