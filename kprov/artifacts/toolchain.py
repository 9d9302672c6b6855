"""Whether this machine can build: the Go client, and for programs with C in them a compiler and libseccomp.

Asks and reports; it must not install anything.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from functools import lru_cache
from pathlib import Path

from kprov.values.errors import ArtifactError

_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}
_TRIPLETS = {"amd64": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu"}


def native() -> str:
    """This machine's architecture in Go's words."""
    name = platform.machine()
    return _MACHINES.get(name, name)


def go_version(folder: Path) -> str:
    """The version of Go that builds the module in `folder`, e.g. `go1.26.8`. Raises ArtifactError when there is none.

    A Go that is older than the module asks for may fetch a newer one (GOTOOLCHAIN=auto), so then it is asked there.
    """
    needed = _needed(folder)
    local = _ask(Path("/"), "local")
    if local is not None and _numbers(local) >= _numbers(needed):
        return local
    version = _ask(folder, "") if local is not None else None
    if version is not None and _numbers(version) >= _numbers(needed):
        return version
    raise ArtifactError(
        f"{folder.name} cannot be built on this machine",
        found=f"Go {local.removeprefix('go')}" if local else "no `go` on PATH",
        needed=f"Go {needed} or later",
        todo="install it from https://go.dev/dl/, or set artifacts.source to upstream",
    )


def cgo_environment(name: str, arch: str) -> dict[str, str]:
    """Variables for building C parts for `arch`. Raises ArtifactError that names the packages when they are missing."""
    triplet = _TRIPLETS[arch]
    foreign = arch != native()
    compiler = os.environ.get("CC") or (f"{triplet}-gcc" if foreign else "gcc")
    environment = {"CGO_ENABLED": "1", "CC": compiler}
    if foreign:
        environment["PKG_CONFIG_LIBDIR"] = f"/usr/lib/{triplet}/pkgconfig"
    missing = [program for program in (compiler.split()[0], "pkg-config") if shutil.which(program) is None]
    if not missing and not _has_libseccomp({**os.environ, **environment}):
        missing = ["libseccomp with its static library"]
    if missing:
        debian = f"gcc-{triplet.replace('_', '-')} libseccomp-dev:{arch}" if foreign else "gcc libc6-dev libseccomp-dev"
        raise ArtifactError(
            f"{name} has C in it and cannot be built for {arch} on this machine",
            found=f"missing: {', '.join(missing)}",
            needed="a C compiler, pkg-config and libseccomp as a static library",
            todo=f"install them (Debian and Ubuntu: {debian} pkg-config; Fedora: gcc glibc-static libseccomp-static "
            "libseccomp-devel pkgconf), or set artifacts.source to upstream",
        )
    return environment


def _has_libseccomp(environment: dict[str, str]) -> bool:
    command = ["pkg-config", "--exists", "libseccomp"]
    return subprocess.run(command, env=environment, capture_output=True, check=False).returncode == 0


@lru_cache(maxsize=16)
def _ask(folder: Path, toolchain: str) -> str | None:
    environment = dict(os.environ, GOTOOLCHAIN=toolchain) if toolchain else dict(os.environ)
    try:
        answer = subprocess.run(
            ["go", "env", "GOVERSION"], cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        return None
    version = answer.stdout.strip()
    return version if answer.returncode == 0 and version else None


def _needed(folder: Path) -> str:
    match = re.search(r"^go (\S+)$", (folder / "go.mod").read_text(encoding="utf-8"), re.MULTILINE)
    return match.group(1) if match else "1.24"


def _numbers(version: str) -> tuple[int, ...]:
    """`go1.26.8` or `1.26.8` → (1, 26, 8); what follows a blank or a dash is left out, a missing patch is 0."""
    words = [int(word) for word in re.findall(r"\d+", re.split(r"[ -]", version)[0])]
    return tuple([*words, 0, 0, 0][:3])
