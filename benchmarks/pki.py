"""How long certificates take: issue them, and decide that they may stay. Run: python benchmarks/pki.py [HOW_MANY]"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime

from kprov.pki.authority import CertificateAuthority
from kprov.pki.keys import Algorithm
from kprov.pki.reissue import why_reissue
from kprov.values.certificate import CertificateSpec


def seconds(work: Callable[[], object]) -> float:
    """Wall-clock seconds of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def measure(algorithm: Algorithm, count: int) -> None:
    """Print the time for `count` leaves of that algorithm."""
    now = datetime.now(UTC)
    authority = CertificateAuthority.generate("etcd", algorithm, 3650, now)
    specs = [
        CertificateSpec(
            name="etcd-peer",
            authority="etcd",
            common_name=f"node-{number}",
            server=True,
            client=True,
            dns_names=("localhost", f"node-{number}"),
            ip_addresses=("10.0.0.1", "127.0.0.1", "::1"),
            algorithm=algorithm,
        )
        for number in range(count)
    ]
    issued: list[bytes] = []
    issuing = seconds(lambda: issued.extend(authority.issue(spec, now).cert_pem for spec in specs))
    reasons: list[str | None] = []
    ca = authority.cert_pem
    deciding = seconds(
        lambda: reasons.extend(why_reissue(pem, spec, ca, now) for pem, spec in zip(issued, specs, strict=True))
    )
    assert reasons == [None] * count
    print(f"{algorithm:<11} issue {count}: {issuing:.2f} s ({count / issuing:.0f}/s)", end="   ")
    print(f"decide {count}: {deciding:.2f} s ({count / deciding:.0f}/s)")


if __name__ == "__main__":
    desired = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    measure("ecdsa-p256", desired)
    measure("rsa-2048", max(1, desired // 50))
