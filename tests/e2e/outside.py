"""The cluster as it is seen from outside: by the operator's computer, which is no host of it and has no way to Services."""

from __future__ import annotations

import base64
import subprocess

import yaml
from lab_cluster import LabCluster


def services(cluster: LabCluster) -> dict[str, str]:
    """Every Service that kprov made → its type."""
    rows = cluster.get("services", "-A", "-l", "app.kubernetes.io/managed-by=kprov")["items"]
    return {f"{row['metadata']['namespace']}/{row['metadata']['name']}": row["spec"]["type"] for row in rows}


def asked(cluster: LabCluster, host: str, port: int, path: str, *, name: str = "", login: str = "") -> str:
    """The HTTP status of a GET at a host's port, over TLS judged by the cluster's CA; 000 where TLS failed.

    name: by which it is asked for, instead of its address. login: user:password.
    """
    authority = cluster.folder / "ca.crt"
    if not authority.exists():
        config = yaml.safe_load(cluster.kubeconfig.read_text())["clusters"][0]["cluster"]
        authority.write_bytes(base64.b64decode(config["certificate-authority-data"]))
    address = cluster.lab.machine(host).address
    resolve = ["--resolve", f"{name}:{port}:{address}"] if name else []
    return curl("--cacert", str(authority), *resolve, f"https://{name or address}:{port}{path}", login=login)


def curl(*arguments: str, login: str = "") -> str:
    done = subprocess.run(
        ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--connect-timeout", "5", "-K", "-", *arguments],
        input=f'user = "{login}"\n' if login else "",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout
