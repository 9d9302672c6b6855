"""Gives a root file system this host's way to distribution packages; writes only below that root."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from pathlib import Path

from kprov.lab import apt
from kprov.lab.commands import run


def write(root: Path, files: Mapping[str, str]) -> None:
    """Let the machine with this root reach packages as the host does: sources, settings, name servers, certificates."""
    if files:
        (root / "etc/apt/sources.list").unlink(missing_ok=True)
        for name, text in files.items():
            (root / "etc/apt/sources.list.d" / name).write_text(text, encoding="utf-8")
    dump = run(["apt-config", "dump"], check=False).stdout if Path("/usr/bin/apt-config").exists() else ""
    (root / "etc/apt/apt.conf.d/90kprov-lab").write_text(apt.kept_settings(dump), encoding="utf-8")
    texts = [_read(Path(name)) for name in ("/etc/resolv.conf", "/run/systemd/resolve/resolv.conf")]
    (root / "etc/resolv.conf").unlink(missing_ok=True)
    (root / "etc/resolv.conf").write_text(apt.nameservers(texts), encoding="utf-8")
    _write_certificates(root)


def _write_certificates(root: Path) -> None:
    bundle = root / "etc/ssl/certs/ca-certificates.crt"
    known = _read(bundle)
    for certificate in sorted(Path("/usr/local/share/ca-certificates").glob("**/*.crt")):
        text = certificate.read_text(encoding="ascii", errors="replace")
        (root / "usr/local/share/ca-certificates" / certificate.name).write_text(text, encoding="ascii")
        if text.strip() not in known:
            known = f"{known.rstrip()}\n{text.strip()}\n"
    bundle.write_text(known, encoding="ascii")


def files_for(suite: str) -> dict[str, str]:
    """This host's Debian sources told for `suite`, file name → text; empty when the host is no Debian."""
    release = platform.freedesktop_os_release()
    if release.get("ID") != "debian":
        return {}
    own = release.get("VERSION_CODENAME", "")
    folder = Path("/etc/apt/sources.list.d")
    found = [*sorted(folder.glob("*.sources")), *sorted(folder.glob("*.list"))] if folder.is_dir() else []
    texts = {file.name: _read(file) for file in found}
    texts["sources.list"] = _read(Path("/etc/apt/sources.list"))
    # Third parties' repositories on the host, with keys we do not copy, are not the guests' business.
    ours = {name: text for name, text in texts.items() if apt.mirror({name: text}, own)}
    if "sources.list" in ours:
        ours["debian.list"] = ours.pop("sources.list")
    return apt.translated(ours, own, suite)


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""
