"""What a program file says about itself. Reads the first bytes of an ELF file and nothing more."""

from __future__ import annotations

from pathlib import Path

from kprov.values.errors import ArtifactError

_MACHINES = {3: "386", 40: "arm", 62: "amd64", 183: "arm64", 243: "riscv64", 21: "ppc64le", 22: "s390x"}


def machine(path: Path) -> str:
    """The architecture in Go's words (`amd64`), `""` when it is no ELF file, `machine N` when it has no such name."""
    with path.open("rb") as stream:
        head = stream.read(20)
    if len(head) < 20 or head[:4] != b"\x7fELF":
        return ""
    order = "big" if head[5] == 2 else "little"
    number = int.from_bytes(head[18:20], order)  # type: ignore[arg-type]
    return _MACHINES.get(number, f"machine {number}")


def require(path: Path, name: str, arch: str, origin: str) -> None:
    """Raise ArtifactError unless the file is a program for that architecture. origin: its URL or how it was made."""
    found = machine(path)
    if found != arch:
        raise ArtifactError(
            f"{name} is not a program for {arch}",
            where=origin,
            found=f"an ELF file for {found}" if found else "not an ELF file",
            needed=f"an ELF file for {arch}",
            todo="look at what the URL, or the mirror, serves",
        )
