"""What the probe says of files it was asked to show: a compressed tar archive, with a link in it that nobody follows."""

from __future__ import annotations

import base64
import io
import tarfile
from collections.abc import Mapping


def archived(files: Mapping[str, bytes]) -> str:
    """Base64 of the archive. files: path without the first slash → content."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        link = tarfile.TarInfo("etc/link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/shadow"
        archive.addfile(link)
    return base64.b64encode(buffer.getvalue()).decode()
