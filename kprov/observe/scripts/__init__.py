"""The shell program that asks a host: parts by subject, joined when it is sent. Constant text: values travel as data."""

from __future__ import annotations

from importlib import resources as package_resources

# In the order in which they are joined: the last one only defines `main`, which is called with the questions.
_PARTS = ("start", "host", "settings", "files", "units", "reach", "images", "surroundings", "cluster", "status", "main")


def text() -> bytes:
    """Return the program, whole."""
    folder = package_resources.files(__name__).joinpath("probe")
    return b"\n".join(folder.joinpath(f"{part}.sh").read_bytes() for part in _PARTS)
