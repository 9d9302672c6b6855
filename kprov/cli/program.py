"""The table of commands, and how each of them ends. Loads a command's module only when that command is called."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from importlib import import_module
from importlib.metadata import version
from types import FrameType
from typing import Any

import click

from kprov.cli.exits import EXIT_CODES, FAILED, INTERRUPTED, PARTLY, State
from kprov.values.errors import KprovError

# fmt: off
COMMANDS: dict[str, tuple[str, str]] = {  # name → (module:command, the line that `kprov --help` shows)
    "init":       ("inventory:init",    "Write a first inventory for some hosts."),
    "validate":   ("inventory:validate", "Check an inventory without asking any host."),
    "plan":       ("apply:plan",        "Show what `kprov up` would change, and why."),
    "up":         ("apply:up",          "Create or update the cluster to match the inventory."),
    "status":     ("status:status",     "Show versions, units, health and expiry of a cluster."),
    "verify":     ("verify:verify",     "Check the machines and the cluster themselves."),
    "probe":      ("probe:probe",       "Ask a cluster what its users ask while a command runs."),
    "backup":     ("backup:backup",     "Take, list and prove backups of a cluster."),
    "restore":    ("restore:restore",   "Bring a cluster back to a backup."),
    "adopt":      ("adopt:adopt",       "Go on with a cluster whose state folder is lost."),
    "open":       ("open:open_addon",   "Open the page of an add-on in the browser."),
    "kubeconfig": ("access:kubeconfig", "Write a kubeconfig for an administrator."),
    "passphrase": ("passphrase:passphrase", "Set, change or remove the passphrase of the cluster's keys."),
    "certs":      ("certs:certs",       "Certificates and when they expire."),
    "down":       ("apply:down",        "Take the cluster off the hosts: the reverse of `kprov up`."),
    "addons":     ("addons:addons",     "Add-ons: list them, and show what each takes."),
    "artifacts":  ("artifacts:artifacts", "Binaries and images: fetch, build, list, lock, mirror."),
    "lab":        ("lab:lab",           "Local test machines on this computer."),
    "schema":     ("inventory:schema",  "Print the JSON Schema of inventories, for editors."),
}
# fmt: on


class Program(click.Group):
    """A group whose commands are looked up in the table above, so that help costs no imports."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(import_module(f"kprov.cli.{module}"), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


def _show_version(ctx: click.Context, _: click.Parameter, desired: bool) -> None:
    if desired:
        click.echo(f"kprov {version('kprov')}")
        ctx.exit()


@click.group(cls=Program, context_settings={"help_option_names": ["-h", "--help"]}, epilog=EXIT_CODES)
@click.option("--version", is_flag=True, expose_value=False, is_eager=True, callback=_show_version, help="Show it.")
def program() -> None:
    """Production Kubernetes clusters on plain Linux machines, over SSH, from upstream binaries.

    \b
    A first cluster:
      kprov init admin@192.0.2.11 192.0.2.21 192.0.2.22 -o inventory.yaml
      kprov up inventory.yaml
      kprov kubeconfig inventory.yaml --merge
      kubectl get nodes
    """


def main() -> None:
    """The entry point of the `kprov` command."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Runs one command and returns its exit code; every error has been told by then."""
    state = State()
    with _interruptible():
        try:
            result = program.main(list(arguments), prog_name="kprov", standalone_mode=False, obj=state)
        except (KeyboardInterrupt, click.Abort):
            return _interrupted(state)
        except click.ClickException as error:
            error.show()
            return FAILED
        except KprovError as error:
            return _failed(state, error)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader left, as `head` does
            return FAILED
        except Exception as error:
            return _unexpected(state, error)
    return result if isinstance(result, int) else 0


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Ctrl-C once ends in order: hosts that are at work finish their step. A second one ends at once."""

    def second(_signal: int, _frame: FrameType | None) -> None:
        os._exit(INTERRUPTED)

    def first(_signal: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, second)
        click.echo(
            "\nending: waiting for hosts that are at work; Ctrl-C again ends at once, which is safe too", err=True
        )
        raise KeyboardInterrupt

    before: Any = signal.signal(signal.SIGINT, first)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _code(state: State) -> int:
    return PARTLY if state.touched() else FAILED


def _interrupted(state: State) -> int:
    state.close()
    touched = "the same command goes on from here" if state.touched() else "nothing on any host was changed"
    state.keep(f"interrupted: {touched}")
    click.echo(f"interrupted: {touched}", err=True)
    return INTERRUPTED


def _failed(state: State, error: KprovError) -> int:
    state.close()
    text = state.redactor.clean(str(error))
    state.keep(f"error: {text}")
    state.tell(error)
    click.secho(text, fg="red", err=True)
    return _code(state)


def _unexpected(state: State, error: Exception) -> int:
    state.close()
    trace = state.trace(error)
    state.keep(trace)
    if state.verbose:
        click.echo(trace, err=True)
    first = (str(error).splitlines() or [""])[0]
    line = state.redactor.clean(f"Internal error: {type(error).__name__}: {first}")
    more = f"details: {state.log}" if state.log else "run the command again with -v for details"
    click.secho(line, fg="red", err=True)
    click.echo(f"  This is a bug in kprov; {more}", err=True)
    if state.touched():
        click.echo("  a part of the work was done; the same command goes on from there", err=True)
    return _code(state)
