"""Renders the Jinja2 templates of roles; it decides nothing, and inventory values are only ever data to it.

The user's own templates (a folder beside the inventory) stand before the packaged ones of the same name.
"""

from __future__ import annotations

import re
import shlex
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from jinja2.exceptions import TemplateError

from kprov.values.errors import KprovError
from kprov.values.resources import FILE, File

_PLAIN = re.compile(r"[A-Za-z0-9_@+=:,./-]+")


def systemd_word(text: str) -> str:
    """One argument as it must stand in a unit's Exec line, so that the program receives exactly `text`.

    systemd expands `%` specifiers and `$` variables everywhere, also in quotes (systemd.service(5), "Command lines").
    Raises ValueError for line breaks and other control characters, which no flag of ours needs.
    """
    if any(ord(character) < 32 or ord(character) == 127 for character in text):
        raise ValueError(f"control character in a command line argument: {text!r}")
    doubled = text.replace("%", "%%").replace("$", "$$")
    if _PLAIN.fullmatch(text):
        return doubled
    return '"' + doubled.replace("\\", "\\\\").replace('"', '\\"') + '"'


@lru_cache(maxsize=8)
def _environment(templates_dir: Path | None) -> Environment:
    folders = [str(files("kprov.templates"))]
    if templates_dir is not None:
        folders.insert(0, str(templates_dir))
    environment = Environment(
        loader=FileSystemLoader(folders),
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701 - units and configuration files, no HTML
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        auto_reload=False,
    )
    environment.filters["systemd_word"] = systemd_word
    environment.filters["shell_word"] = shlex.quote
    return environment


def render(templates_dir: Path | None, name: str, /, **values: Any) -> bytes:
    """The template `name` (`etcd/etcd.service.j2`) filled in, UTF-8. Raises KprovError when it cannot be."""
    try:
        return _filled(templates_dir, name, **values) if values else _constant(templates_dir, name)
    except (TemplateError, ValueError) as error:
        raise KprovError(
            "a template cannot be rendered",
            where=name,
            found=str(error),
            needed="a template that uses only the values its role gives it",
            todo="compare it with the packaged template of the same name" if templates_dir else "report this as a bug",
        ) from error


def _filled(templates_dir: Path | None, name: str, /, **values: Any) -> bytes:
    return _environment(templates_dir).get_template(name).render(**values).encode()


_constant = lru_cache(maxsize=64)(_filled)  # the same on all hosts: rendered once, and one object in memory


def render_script(templates_dir: Path | None, name: str, path: str) -> File:
    """Render a shell script of a component. One that may be the user's is parsed on the host before it gets its name."""
    check = ("sh", "-n", FILE) if templates_dir is not None else ()
    return File(path=path, content=render(templates_dir, name), mode=0o755, check=check)
