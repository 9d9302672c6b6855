"""The image of the stand-in for web UIs (standin/main.go), built on this computer. It never passes for upstream's."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from kprov.artifacts import image

REFERENCE = "kprov.local/tests/stand-in:1"
WORDS = "This is not Headlamp"


def make(folder: Path) -> Path:
    """The image as a tar that `ctr images import` takes."""
    program, target = folder / "standin", folder / "standin.tar"
    build = {**os.environ, "GOFLAGS": "-mod=readonly", "CGO_ENABLED": "0", "GOWORK": "off"}
    subprocess.run(["go", "build", "-o", program, "."], cwd=Path(__file__).parent / "standin", env=build, check=True)
    own = image.OwnImage(reference=REFERENCE, arch="amd64", program=program, name="standin", user="65532:65532")
    image.write_own(own, target)
    return target
