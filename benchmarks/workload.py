"""What a benchmark wants on a stand-in: some 55 paths and a 60 MB program, no units, no packages, nothing of Kubernetes.

The same values make kprov's desired resources and the tree that the floor's plain `tar` pushes.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Sequence
from pathlib import Path

from kprov.artifacts.cache import compressed
from kprov.pki.authority import CertificateAuthority
from kprov.plan.desired import expand
from kprov.roles.templating import render
from kprov.values.certificate import CertificateSpec
from kprov.values.model import Connection, Host
from kprov.values.resources import Artifact, Binary, Certificate, Directory, File, Resource

STAGE = "bench"
SIZE = 60_000_000  # bytes of the program
DIRECTORIES, FILES, UNIT_FILES, CERTIFICATES = 10, 30, 6, 4
_FOLDER = "/srv/bench"
_TEMPLATES = Path(__file__).parent / "templates"


def host(name: str, address: str, port: int, key: Path) -> Host:
    return Host(
        name=name,
        groups=frozenset({"worker"}),
        connection=Connection(address=address, port=port, user="root", key=key),
    )


def program(folder: Path) -> Artifact:
    """A file of SIZE bytes of real machine code, with its gzip twin made: a cache has that before any run."""
    local = folder / "program"
    if not local.exists():
        local.write_bytes(_machine_code(SIZE))
    digest = hashlib.sha256(local.read_bytes()).hexdigest()
    artifact = Artifact(name="program", version="1", arch="amd64", sha256=digest, size=SIZE, local=str(local))
    compressed(artifact)
    return artifact


def desired(name: str, names: Sequence[str], artifact: Artifact, variant: str) -> dict[str, tuple[Resource, ...]]:
    """One host's resources, expanded. `names`: all hosts, for templates that loop; `variant`: in the last file only."""
    resources: list[Resource] = [Directory(path=f"{_FOLDER}/{number:02d}") for number in range(DIRECTORIES)]
    for number in range(FILES):
        last = number == FILES - 1
        content = render(
            _TEMPLATES, "service.conf.j2", host=name, number=number, peers=names[:12], variant=variant if last else ""
        )
        resources.append(File(path=f"{_FOLDER}/{number % DIRECTORIES:02d}/{number:02d}.conf", content=content))
    for number in range(UNIT_FILES):
        content = render(_TEMPLATES, "service.unit.j2", host=name, number=number)
        resources.append(File(path=f"{_FOLDER}/bench-{number}.service", content=content, mode=0o600))
    for number in range(CERTIFICATES):
        spec = CertificateSpec(
            name="etcd-peer",
            authority="etcd",
            common_name=f"{name}-{number}",
            server=True,
            client=True,
            dns_names=("localhost", name),
            ip_addresses=("127.0.0.1",),
        )
        path = f"{_FOLDER}/leaf-{number}"
        resources.append(Certificate(path=f"{path}.crt", key_path=f"{path}.key", spec=spec))
    resources.append(Binary(path="/opt/kprov/bin/program", artifact=artifact))
    return expand({STAGE: resources})


def tree(name: str, names: Sequence[str], artifact: Artifact, authority: CertificateAuthority) -> bytes:
    """The same files as one plain tar archive below `floor/`, the program as it is."""
    from datetime import UTC, datetime

    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for resource in desired(name, names, artifact, "1")[STAGE]:
            if isinstance(resource, File):
                _add(archive, resource.path, resource.content, resource.mode)
            elif isinstance(resource, Binary):
                _add(archive, resource.path, Path(artifact.local).read_bytes(), resource.mode)
            elif isinstance(resource, Certificate):
                issued = authority.issue(resource.spec, datetime.now(UTC))
                _add(archive, resource.path, issued.cert_pem, 0o644)
                _add(archive, resource.key_path, issued.key_pem, 0o600)
    return buffer.getvalue()


def _add(archive: tarfile.TarFile, path: str, content: bytes, mode: int) -> None:
    info = tarfile.TarInfo(f"floor{path}")
    info.size, info.mode = len(content), mode
    archive.addfile(info, io.BytesIO(content))


def _machine_code(size: int) -> bytes:
    """The largest programs of this machine, one after the other."""
    programs = [path for path in Path("/usr/bin").iterdir() if path.is_file() and not path.is_symlink()]
    content = bytearray()
    for path in sorted(programs, key=lambda path: (-path.stat().st_size, path.name)):
        content += path.read_bytes()
        if len(content) >= size:
            return bytes(content[:size])
    raise LookupError(f"the programs of this machine are smaller than {size} bytes together")
