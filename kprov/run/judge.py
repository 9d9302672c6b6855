"""What kube-apiserver itself says of an inventory's documents, on this computer, where its program is in the cache.

The same question is asked on each control plane before a changed file gets its name there. It asks no host.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kprov.artifacts.cache import Cache, hash_file
from kprov.artifacts.toolchain import native
from kprov.inventory import Loaded
from kprov.pki.keys import new_key, private_pem, public_pem
from kprov.roles import api_policies
from kprov.roles.documents import dump
from kprov.roles.templating import render
from kprov.values.api_settings import ApiSettings
from kprov.values.errors import InventoryError, KprovError
from kprov.values.model import Cluster
from kprov.values.paths import API_SERVER_FOLDER

_PROGRAM = "kube-apiserver"
# A field as the API server names it, at its own begin of a complaint: `jwt[0].claimMappings.username.expression: …`
_FIELD = re.compile(r"\b((?:jwt|authorizers|rules)\[\d+\][\w.\[\]]*): ")
_SECONDS = 60


@dataclass(frozen=True, kw_only=True)
class _Document:
    """flag: that names it. key: of the inventory, where it stands. own: entries of kprov's before the user's."""

    flag: str
    key: str
    content: bytes
    own: int = 0


def judge(loaded: Loaded, inventory: Path, cache: Path) -> bool:
    """Ask kube-apiserver of this version about every document that is given. Raises InventoryError with all it says.

    Returns whether it could be asked: not where its program is not in the cache, or nothing is given.
    """
    cluster = loaded.cluster
    documents = list(_documents(cluster.api))
    program = _program(cluster, cache)
    if program is None or not documents:
        return False
    with tempfile.TemporaryDirectory(prefix="kprov-judge-") as scratch:
        folder = Path(scratch)
        script = _laid_out(cluster, program, folder)
        said = [(one, _asked(script, one, folder)) for one in documents]
    mistakes = tuple(_mistake(loaded, inventory, one, text) for one, text in said if text)
    if mistakes:
        raise InventoryError("kube-apiserver refuses what the inventory says", where=str(inventory), mistakes=mistakes)
    return True


def _documents(api: ApiSettings) -> Iterator[_Document]:
    if api.authentication:
        content = dump(api_policies.authentication(api.authentication))
        yield _Document(flag="authentication-config", key="cluster.authentication", content=content)
    if api.authorizers:
        content = dump(api_policies.authorization(api.authorizers))
        yield _Document(flag="authorization-config", key="cluster.authorization", content=content, own=2)
    if api.audit.policy:
        content = dump(api_policies.audit_policy(api.audit.policy))
        yield _Document(flag="audit-policy-file", key="cluster.audit.policy", content=content)


def _program(cluster: Cluster, cache: Path) -> Path | None:
    """The program in the cache, whole and of this computer's kind."""
    for folder, record in Cache(cache).records((_PROGRAM,)):
        file = folder / _PROGRAM
        if (record.version, record.arch) != (cluster.versions["kubernetes"], native()) or not file.is_file():
            continue
        if hash_file(file) == record.sha256:
            return file
    return None


def _laid_out(cluster: Cluster, program: Path, folder: Path) -> Path:
    """The script of control planes, with keys that are nobody's, and with kubeconfigs where documents will name them."""
    key = new_key("ecdsa-p256")
    (folder / "key").write_bytes(private_pem(key))
    (folder / "public").write_bytes(public_pem(key))
    for file in cluster.api.files:  # secrets, in a folder that is closed to others and goes with the question
        (folder / file.name).touch(mode=0o600)
        (folder / file.name).write_text(file.content.reveal(), encoding="utf-8")
    script = folder / "judge"
    script.write_bytes(
        render(
            None,
            "api_server/kprov-judge-api-config.sh.j2",
            bin=str(program.parent),
            key=str(folder / "key"),
            public=str(folder / "public"),
            issuer=f"https://kubernetes.default.svc.{cluster.domain}",
        )
    )
    return script


def _asked(script: Path, document: _Document, folder: Path) -> str:
    """What it says against the document, nothing when it takes it."""
    file = folder / document.flag
    file.write_bytes(document.content.replace(API_SERVER_FOLDER.encode(), str(folder).encode()))
    try:
        done = subprocess.run(
            ["sh", script, document.flag, file], capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""  # the hosts ask again
    return "" if done.returncode == 0 else done.stderr.strip().strip('<>"').replace(str(file), document.flag).strip()


def _mistake(loaded: Loaded, inventory: Path, document: _Document, text: str) -> KprovError:
    """With the line of the field that the API server names, or of the key."""
    found = _FIELD.search(text)
    place = _place(loaded.source_lines, document, found[1] if found else "")
    what = text[found.start() :] if found else text
    return KprovError(f"{document.key}: {what}", where=f"{inventory}:{loaded.source_lines[place]}")


def _place(lines: Mapping[str, int], document: _Document, field: str) -> str:
    """The key of the inventory that is nearest to a field: of authorizers, without kprov's own before it."""
    steps = re.sub(r"\[(\d+)\]", lambda number: f"[{int(number[1]) - document.own}]", field, count=1)
    place = f"{document.key}.{steps}" if steps else document.key
    while place not in lines:
        shorter: Any = re.sub(r"(\.[\w-]+|\[\d+\])$", "", place)
        if shorter == place:
            return "cluster"
        place = shorter
    return place
