"""A manifest out of a pinned Go module: the kustomization that upstream's release is made from, rendered by kubectl.

The module's content is what go.sum says, or the Go client refuses it. Nothing of it is changed here.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from kprov.artifacts import toolchain
from kprov.values.addon import ManifestModule
from kprov.values.errors import ArtifactError


def text(module: ManifestModule, pinned: Path, kubectl: str) -> str:
    """The manifest. pinned: the folder with the go.mod and go.sum that decide the version. Raises ArtifactError."""
    toolchain.go_version(pinned)
    environment = {**os.environ, "GOWORK": "off", "GOFLAGS": "-mod=readonly"}
    answer = _output(["go", "mod", "download", "-json", module.path], pinned, environment)
    source = Path(json.loads(answer)["Dir"])
    return _output([kubectl, "kustomize", str(source / module.kustomization)], pinned, os.environ)


def _output(command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> str:
    done = subprocess.run(
        command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise ArtifactError(
            f"the manifest in the Go module of {folder.name} cannot be had",
            where=str(folder),
            found=" ".join(command[:3]),
            needed="a module that the Go proxy serves and that matches go.sum",
            todo="read the last lines below, or set artifacts.source to upstream",
            log=(done.stderr or done.stdout).strip(),
        )
    return done.stdout
