"""What upstream releases together, and how it is built here: rows of the catalog and of add-ons. Values only."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

_MACHINES = MappingProxyType({"amd64": "x86_64", "arm64": "aarch64"})  # as `uname -m` says
_NONE: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, kw_only=True)
class Build:
    """How `go build` is called for a component. `ldflags` come after `-s -w`."""

    ldflags: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    cgo: bool = False
    mode: str = ""


@dataclass(frozen=True, kw_only=True)
class Component:
    """What upstream releases together. `programs`: catalog name → Go package. The URLs are templates.

    module is empty for what cannot be built here, checksum for files beside which upstream publishes none. c: programs that
    are C, and the folder of the module that holds their source.
    """

    name: str
    module: str = ""
    programs: Mapping[str, str]
    url: str
    checksum: str = ""
    member: str = ""
    build: Build = Build()
    c: Mapping[str, str] = field(default_factory=lambda: _NONE)

    def url_of(self, program: str, version: str, arch: str) -> str:
        return self._fill(self.url, program, version, arch)

    def checksum_of(self, program: str, version: str, arch: str) -> str:
        return self._fill(self.checksum, program, version, arch)

    def member_of(self, program: str, version: str, arch: str) -> str:
        return self._fill(self.member, program, version, arch)

    def _fill(self, template: str, program: str, version: str, arch: str) -> str:
        file = built_name(self.programs[program])
        return template.format(version=version, arch=arch, name=program, file=file, machine=_MACHINES.get(arch, arch))


@dataclass(frozen=True, kw_only=True)
class ImageEntry:
    """An image: upstream's reference (none when upstream's is not used) and what an own build of it is made from.

    component: whose pinned modules it is built from. An image without a `package` cannot be built here.
    """

    name: str
    component: str
    reference: str
    built: str = ""
    program: str = ""
    package: str = ""
    user: str = "0:0"
    arguments: tuple[str, ...] = ()
    build: Build = Build()


def built_name(package: str) -> str:
    """What `go build` calls the program of a package: its last word, a major version suffix left out."""
    words = package.split("/")
    return words[-2] if re.fullmatch(r"v\d+", words[-1]) else words[-1]
