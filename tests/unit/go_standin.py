"""A stand-in for the `go` client: answers its version, lists, and "builds" files that begin like ELF programs."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from kprov.artifacts import toolchain

_SCRIPT = """#!/bin/sh
echo "$* | GOFLAGS=$GOFLAGS CGO=$CGO_ENABLED ARCH=$GOARCH" >> "{log}"
case "$1" in
env) echo "{version}" ;;
list) case "$*" in *.Dir*) echo "{modules}" ;; "list -m"*) echo 2026-10-27T12:01:04Z ;; *) echo a; echo b ;; esac ;;
build)
  if [ -e "{broken}" ]; then echo "go: some.module@v1: 404 Not Found" >&2; exit 1; fi
  echo some/package >&2
  head='\\177ELF\\002\\001\\001\\0\\0\\0\\0\\0\\0\\0\\0\\0'
  case "$GOARCH" in arm64) machine='\\267' ;; *) machine='\\076' ;; esac
  while [ $# -gt 0 ]; do
    case "$1" in
    -o) out=$2; shift ;;
    .) name=pause ;;
    */v3) name=$(basename "$(dirname "$1")") ;;
    */*) name=$(basename "$1") ;;
    *) name= ;;
    esac
    [ -n "$name" ] && [ -n "$out" ] && printf "$head\\002\\0${{machine}}\\0 $name" > "$out$name"
    name=
    shift
  done ;;
esac
"""

_COMPILER = """#!/bin/sh
echo "gcc $*" >> "{log}"
while [ $# -gt 0 ]; do
  [ "$1" != -o ] || printf '\\177ELF\\002\\001\\001\\0\\0\\0\\0\\0\\0\\0\\0\\0\\002\\0\\076\\0 c' > "$2"
  shift
done
"""


class Go:
    """The stand-in, first on PATH. `calls`: what it was asked to do, one line each."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._folder = folder
        self._log = folder / "log"
        self.broken = folder / "broken"  # while this file exists, builds fail
        folder.mkdir(parents=True)
        self.modules = folder / "module"  # where it says that the module's source is
        self.version("go1.26.8")
        self._write("gcc", _COMPILER.format(log=self._log))
        self._write("pkg-config", "#!/bin/sh\nexit 0\n")
        monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
        monkeypatch.delenv("CC", raising=False)

    def version(self, version: str) -> None:
        self._write("go", _SCRIPT.format(log=self._log, version=version, broken=self.broken, modules=self.modules))
        toolchain._ask.cache_clear()

    def remove(self, name: str) -> None:
        (self._folder / name).unlink()
        toolchain._ask.cache_clear()

    @property
    def calls(self) -> list[str]:
        return self._log.read_text().splitlines() if self._log.exists() else []

    @property
    def builds(self) -> list[str]:
        return [call for call in self.calls if call.startswith("build ")]

    def _write(self, name: str, text: str) -> None:
        path = self._folder / name
        path.write_text(text)
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
