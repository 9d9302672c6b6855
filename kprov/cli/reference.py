"""The reference page of the commands, rendered from the commands themselves, so that docs and program cannot part.

`python -m kprov.cli.reference FILE` writes the page.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from kprov.cli.exits import EXIT_CODES
from kprov.cli.program import program

_INTRODUCTION = f"""\
# The commands

This page is rendered from the program: `python -m kprov.cli.reference docs/reference/cli.md` renders it again.

{EXIT_CODES.strip()}

With `--json`, `kprov plan`, `status`, `certs list`, `addons` and `artifacts list` print one JSON document. `up` and `down`
print a line for each event: an object with `event`, `time` (UTC, ISO 8601) and the event's own fields. Each has
`"version": 1`, a number that grows when a field is taken away or changes its meaning. The last line is
`summary`, or `error` with `what`, `where`, `found`, `needed`, `todo` and `log`. Everything else goes to standard error.
"""
_WIDTH = 100


def render() -> str:
    """The page as Markdown, ending with a line break."""
    return _INTRODUCTION + "".join(_section(path, command) for path, command in commands())


def commands() -> Iterator[tuple[str, click.Command]]:
    """Every command that does something, with the words that call it, in the order of `kprov --help`."""
    context = click.Context(program, info_name="kprov")
    yield from _below(program, context, "kprov")


def _below(group: click.Group, context: click.Context, path: str) -> Iterator[tuple[str, click.Command]]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from _below(command, click.Context(command, info_name=name, parent=context), f"{path} {name}")
        elif command is not None:
            yield f"{path} {name}", command


def _section(path: str, command: click.Command) -> str:
    *parents, name = path.split()
    # As the program has it: a command keeps the help option that it was first asked for.
    context = click.Context(program, info_name="kprov", **program.context_settings)
    for word in parents[1:]:
        context = click.Context(click.Group(word), info_name=word, parent=context)
    own = click.Context(command, info_name=name, parent=context, terminal_width=_WIDTH, max_content_width=_WIDTH)
    text = command.get_help(own).replace("\b\n", "").rstrip()
    return f"\n## `{path}`\n\n```text\n{text}\n```\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(render(), encoding="utf-8")
