"""Makes every leaf on the machines of a lab expired: issued again for the same key by the cluster's own CA.

The clocks of lab machines cannot be turned, as they share the computer's.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from lab_cluster import LabCluster

from kprov.state.store import Store

# So that whatever was read before the end of a certificate is read again.
_AGAIN = (
    "systemctl restart --no-block etcd kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy 2>&1"
)


def expire(cluster: LabCluster) -> list[str]:
    """Puts expired certificates in place of all leaves, and starts everything again; returns their hosts and paths."""
    store = Store.open(cluster.inventory.parent / ".kprov" / cluster.lab.name, cluster.lab.name)
    rows = json.loads(cluster.kprov("certs list", "--json").stdout)["certificates"]
    done = []
    for row in rows:
        if row["host"] not in cluster.hosts or row.get("authority") == "self":
            continue
        file = cluster.lab.machine(row["host"]).root / row["path"].lstrip("/")
        old = x509.load_pem_x509_certificate(file.read_bytes())
        if old.extensions.get_extension_for_class(x509.BasicConstraints).value.ca:
            continue
        name = next(name for name, pem in store.ca.items() if _issued(old, pem))
        file.write_bytes(_again(old, store.authority(name).key))
        done.append(f"{row['host']} {row['path']}")
    for host in cluster.hosts:
        cluster.sh(host, _AGAIN, check=False)
    return done


def _issued(leaf: x509.Certificate, pem: bytes) -> bool:
    return leaf.issuer == x509.load_pem_x509_certificate(pem).subject


def _again(old: x509.Certificate, key: object) -> bytes:
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    builder = (
        x509.CertificateBuilder(subject_name=old.subject, issuer_name=old.issuer, public_key=old.public_key())  # type: ignore[arg-type]
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.now(UTC) - timedelta(days=2))
        .not_valid_after(datetime.now(UTC) - timedelta(hours=1))
    )
    for extension in old.extensions:
        builder = builder.add_extension(extension.value, critical=extension.critical)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
