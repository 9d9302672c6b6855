"""A CA whose key is in a token of SoftHSM, and the program that signs by it, both as docs/own-ca.md says. No test is here."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from own_cas import Made

PAGE = Path(__file__).parents[2] / "docs" / "own-ca.md"
_CONFIGURATION = "SOFTHSM2_CONF"


def make(folder: Path, root: Made) -> dict[str, str]:
    """Make the token and all else in a folder; return what the environment of the program `sign` there has to say.

    The CA is `ca/kubernetes.crt`, below the root; its PIN is in `pin`.
    """
    (folder / "tokens").mkdir()
    (folder / "ca").mkdir()
    (folder / "softhsm.conf").write_text(f"directories.tokendir = {folder}/tokens\nobjectstore.backend = file\n")
    (folder / "root.crt").write_bytes(root.pem)
    (folder / "root.key").write_bytes(root.key_pem)
    (folder / "sign.cnf").write_text("authorityKeyIdentifier = keyid\n")
    told = {_CONFIGURATION: str(folder / "softhsm.conf")}
    [intermediate] = shell("An intermediate with OpenSSL")
    making, signing = shell("A key in an HSM")
    _run(intermediate, folder, told)
    (folder / "ca" / "kubernetes.key").unlink()
    _run(making.replace("/srv/keys/", f"{folder}/"), folder, told)
    (folder / "sign").write_text(signing.replace("/srv/keys/", f"{folder}/"))
    (folder / "sign").chmod(0o755)
    return told


def shell(heading: str) -> list[str]:
    """The shell texts below a heading of the page."""
    section = PAGE.read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return [part.partition("```")[0] for part in section.split("```sh\n")[1:]]


def _run(script: str, folder: Path, told: dict[str, str]) -> None:
    done = subprocess.run(
        ["sh", "-ec", script], cwd=folder, env={**os.environ, **told}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
