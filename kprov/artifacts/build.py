"""Build the real programs from pinned Go modules, with the ordinary `go` client, into the cache.

A build is found again only under the hash of all it depends on: the module's files, the flags, the version of Go and
the architecture. This module must not change go.mod or go.sum, and never downloads anything itself.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType

from kprov.artifacts import catalog, elf, toolchain
from kprov.artifacts.cache import MODULES, Cache, Record
from kprov.artifacts.progress import Progress
from kprov.values.errors import ArtifactError
from kprov.values.release import Build, Component, ImageEntry, built_name
from kprov.values.resources import Artifact

_UNSET = ("GOFLAGS", "GOOS", "GOARCH", "GOARM64", "GOEXPERIMENT", "GOWORK", "GODEBUG")
_C = ("-std=c99", "-O2", "-Wall", "-static", "-s")
_TAIL = 30  # lines of a failed build that are shown


@dataclass(frozen=True, kw_only=True)
class Target:
    """What one call of `go build` makes. `programs`: artifact name → package; `module`: whose date is {time}.

    c: those of the programs that are C, and the folder of the module with their source: the C compiler makes them.
    """

    name: str
    version: str
    folder: Path
    programs: Mapping[str, str]
    build: Build
    module: str = ""
    c: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def packages(self) -> tuple[str, ...]:
        """Go packages of its programs."""
        return tuple(package for name, package in self.programs.items() if name not in self.c)


def modules_root() -> Path:
    return Path(str(files("kprov.artifacts"))) / "modules"


def module_folder(component: str, version: str) -> Path:
    """The folder that pins a component's modules. Raises ArtifactError, with the versions there are, without one.

    kprov's own programs have no version of upstream: their folder is named by the component alone.
    """
    root = modules_root()
    for folder in (root / f"{component}-{version}", root / component):
        if (folder / "go.mod").is_file():
            return folder
    there = sorted(path.name.removeprefix(f"{component}-") for path in root.glob(f"{component}-[0-9]*"))
    raise ArtifactError(
        f"{component} {version} cannot be built: kprov holds no pinned modules of that version",
        found=f"modules for {', '.join(there) or 'no version'}",
        needed=f"modules for {version}",
        todo=f"choose one of these versions, or let it come from upstream: artifacts.sources: {{{component}: upstream}}",
    )


def component_target(component: str, version: str) -> Target:
    """The programs of a component. Raises ArtifactError when its modules are not pinned."""
    return target_of(catalog.load().components[component], version)


def target_of(component: Component, version: str) -> Target:
    """The same of a component that need not be in the catalog. Raises ArtifactError."""
    if not component.module:
        raise ArtifactError(
            f"{component.name} {version} cannot be built: it is had from upstream's releases only",
            found="no Go modules of it",
            needed=f"a network that reaches {component.url.split('/')[2]}, or a mirror of it",
            todo=f"let it come from upstream: artifacts.sources: {{{component.name}: upstream}}",
        )
    return Target(
        name=component.name,
        version=version,
        folder=module_folder(component.name, version),
        programs=component.programs,
        build=component.build,
        module=component.module,
        c=component.c,
    )


def image_target(entry: ImageEntry, version: str) -> Target:
    """The program inside an image that is built here. Raises ArtifactError when it cannot be built or is not pinned."""
    if not entry.package:
        raise ArtifactError(
            f"the image {entry.reference.format(version=version)} cannot be built: kprov holds no modules for it",
            needed="a registry that serves it",
            todo="set artifacts.source to upstream, where a registry can be reached",
        )
    component = catalog.load().components.get(entry.component)
    return Target(
        name=entry.program,
        version=version,
        folder=module_folder(entry.component, version),
        programs={entry.program: entry.package},
        build=entry.build,
        module=component.module if component else "",
    )


def key(target: Target, arch: str) -> str:
    """16 hex digits over all that decides what a build of the target contains. Raises ArtifactError without Go."""
    sources = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(target.folder.iterdir())
        if path.suffix in {".mod", ".sum", ".go"}
    }
    parts = {
        "sources": sources,
        "programs": dict(target.programs),
        "command": _command(target, Path("OUT"), "TIME"),
        "settings": asdict(target.build),
        "go": toolchain.go_version(target.folder),
        "arch": arch,
        **({"c": dict(target.c), "compiler": _C} if target.c else {}),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def find(target: Target, arch: str, cache: Cache) -> dict[str, Artifact] | None:
    """The target's programs when all of them are in the cache, else None."""
    identity = key(target, arch)
    found = {}
    for name in target.programs:
        artifact = cache.find(cache.folder(MODULES, name, target.version, arch, identity))
        if artifact is None:
            return None
        found[name] = artifact
    return found


def build(target: Target, arch: str, cache: Cache, progress: Progress) -> dict[str, Artifact]:
    """The target's programs, built unless this very build is in the cache.

    Raises ArtifactError when Go, a compiler or a library is missing, or when the build fails.
    """
    if (found := find(target, arch, cache)) is not None:
        return found
    identity = key(target, arch)
    with cache.lock(f"{target.name}-{identity}"):
        if (found := find(target, arch, cache)) is not None:  # another process made it while we waited
            return found
        with cache.scratch() as scratch:
            _compile(target, arch, scratch, progress)
            return {name: _store(target, name, arch, identity, scratch, cache) for name in target.programs}


def build_all(versions: Mapping[str, str], arch: str, cache: Path, progress: Progress) -> dict[str, Artifact]:
    """All programs (images not) of the components in `versions`: artifact name → artifact.

    A second call with the same modules and the same Go builds nothing. Raises ArtifactError.
    """
    made: dict[str, Artifact] = {}
    store = Cache(cache)
    targets = [
        component_target(component, versions[component])
        for component in catalog.load().components
        if component in versions
    ]
    for target in targets:
        made |= build(target, arch, store, progress)
    return made


def _store(target: Target, name: str, arch: str, identity: str, scratch: Path, cache: Cache) -> Artifact:
    made = scratch / built_name(target.programs[name])
    if target.programs[name] == ".":
        made = scratch / target.folder.name
    elf.require(made, name, arch, f"built from {target.folder.name}")
    record = Record(
        name=name, version=target.version, arch=arch, source=MODULES, file=name, sha256="", size=0, mtime_ns=0
    )
    return cache.store(cache.folder(MODULES, name, target.version, arch, identity), made, record)


def _command(target: Target, out: Path, time: str) -> list[str]:
    major, minor, *_ = target.version.split(".")
    values = {"version": target.version, "major": major, "minor": minor, "time": time}
    linker = " ".join(("-s", "-w", *(flag.format(**values) for flag in target.build.ldflags)))
    command = ["go", "build", "-v", "-trimpath", "-ldflags", linker]
    if target.build.tags:
        command += ["-tags", ",".join(target.build.tags)]
    if target.build.mode:
        command += [f"-buildmode={target.build.mode}"]
    return [*command, "-o", f"{out}/", *target.packages]


def _environment(target: Target, arch: str) -> dict[str, str]:
    return environment(arch) | (toolchain.cgo_environment(target.name, arch) if target.build.cgo else {})


def environment(arch: str) -> dict[str, str]:
    """Return the variables that `go` is called with; what is compiled with the same ones is compiled once."""
    variables = {name: value for name, value in os.environ.items() if name not in _UNSET}
    # Debugging information would be made by the compiler and thrown away by the linker (-w): a tenth of the time. No part
    # of the key: a program built with it does the same.
    flags = "-mod=readonly -buildvcs=false -gcflags=all=-dwarf=false"
    variables |= {"GOOS": "linux", "GOARCH": arch, "GOWORK": "off", "GOFLAGS": flags}
    return variables | {"GOAMD64": "v1", "GOARM64": "v8.0", "CGO_ENABLED": "0"}


def _compile(target: Target, arch: str, out: Path, progress: Progress) -> None:
    """Run `go build`; each package it compiles is one step of progress, and the last lines are kept for an error."""
    environment = _environment(target, arch)
    label = f"build {target.name} {target.version} ({arch})"
    progress.note(f"building {target.name} {target.version} for {arch} from pinned Go modules")
    packages = _output(target, environment, ["go", "list", "-deps", *_tags(target), *target.packages])
    module = ["go", "list", "-m", "-f", '{{.Time.UTC.Format "2006-01-02T15:04:05Z"}}', target.module]
    time = _output(target, environment, module).strip() if "{time}" in " ".join(target.build.ldflags) else ""
    progress.started(label, len(packages.splitlines()))
    try:
        _run(target, environment, ["nice", "-n", "5", *_command(target, out, time)], progress, label)
        for name, folder in target.c.items():
            _run(target, environment, _c_command(target, environment, out / name, folder), progress, label)
    finally:
        progress.finished(label)


def _c_command(target: Target, environment: dict[str, str], out: Path, folder: str) -> list[str]:
    """One call of the C compiler for a program whose source the Go module holds."""
    module = _output(target, environment, ["go", "list", "-m", "-f", "{{.Dir}}", target.module]).strip()
    sources = sorted(str(path) for path in (Path(module) / folder).glob("*.c"))
    return ["nice", "-n", "5", *environment["CC"].split(), *_C, "-o", str(out), *sources]


def _tags(target: Target) -> list[str]:
    return ["-tags", ",".join(target.build.tags)] if target.build.tags else []


def _run(target: Target, environment: dict[str, str], command: Sequence[str], progress: Progress, label: str) -> None:
    tail: deque[str] = deque(maxlen=_TAIL)
    with subprocess.Popen(
        command,
        cwd=target.folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    ) as process:
        try:
            for line in process.stderr or ():
                tail.append(line.rstrip())
                if not line.startswith("go: "):
                    progress.advanced(label, 1)
        except BaseException:
            process.terminate()
            raise
    if process.returncode != 0:
        raise _failed(target, tail)


def _output(target: Target, environment: dict[str, str], command: Sequence[str]) -> str:
    answer = subprocess.run(
        command, cwd=target.folder, env=environment, capture_output=True, text=True, errors="replace", check=False
    )
    if answer.returncode != 0:
        raise _failed(target, answer.stderr.splitlines()[-_TAIL:])
    return answer.stdout


def _failed(target: Target, lines: Iterable[str]) -> ArtifactError:
    return ArtifactError(
        f"building {target.name} {target.version} from Go modules failed",
        where=str(target.folder),
        needed="modules that the Go proxy serves and that match go.sum, and room in Go's caches",
        todo="read the last lines below; `go env GOPROXY` tells where modules come from",
        log="\n".join(lines),
    )
