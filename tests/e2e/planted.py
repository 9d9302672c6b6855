"""Where the secrets of add-ons are found on machines and in what a run says: by their very bytes."""

from __future__ import annotations

import base64
from collections.abc import Iterable

from lab_cluster import LabCluster

# What a machine keeps, less what is nobody's text: images, and what containers see of all of this.
_PLACES = "/etc /opt /root /run /tmp /var/lib/kprov* /var/lib/kubelet /var/lib/etcd /var/log /var/tmp"


def needles(cluster: LabCluster, *namespaces: str) -> dict[str, str]:
    """Needle → the Secret and key it is from. Of a private key its second line: the first is mostly its type."""
    words = {}
    for namespace in namespaces:
        for secret in cluster.get("secrets", "-n", namespace)["items"]:
            for key, value in secret.get("data", {}).items():
                text = base64.b64decode(value).decode()
                if "PRIVATE KEY-----" in text:
                    words[text.splitlines()[2][:40]] = f"{namespace}/{secret['metadata']['name']} {key}"
                elif not key.endswith(".crt"):
                    words[text] = f"{namespace}/{secret['metadata']['name']} {key}"
    return words


def found(needle: Iterable[str], text: str) -> list[str]:
    """Those that stand in a text, also as a Secret has them."""
    return [
        word for word in needle if word in text or base64.b64encode(word.encode()).decode().rstrip("=")[:-1] in text
    ]


def files(cluster: LabCluster, host: str, needle: Iterable[str]) -> list[str]:
    """Files of a machine that have one of them."""
    patterns = cluster.lab.machine(host).root / "root" / "needles"
    patterns.write_text("".join(f"{word}\n" for word in needle))  # not as arguments, which `ps` shows
    skipped = "--exclude=needles --exclude-dir=rootfs --devices=skip"
    try:
        return cluster.sh(host, f"grep -rlsF {skipped} -f /root/needles {_PLACES}; true").splitlines()
    finally:
        patterns.unlink()
