"""`kprov open`: the page of an add-on in the browser, through kprov's own connection to a control plane."""

from __future__ import annotations

import os
import signal
import sys
import threading
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import click

from kprov.addon.describe import shelf
from kprov.cli.exits import State
from kprov.cli.options import Given, inventory_argument, json_option, state_options
from kprov.cli.work import opened
from kprov.inventory.addons import FOLDER
from kprov.report.jsonlines import object_line
from kprov.tunnel.page import Page
from kprov.tunnel.page import opened as opened_page
from kprov.tunnel.target import chosen
from kprov.values.addon import Addon


@click.command(name="open")
@click.argument("name", metavar="ADD-ON")
@inventory_argument
@state_options
@click.option("--port", type=click.IntRange(1, 65535), help="Port on this computer; default: any that is free.")
@click.option("--no-browser", is_flag=True, help="Only show the address.")
@json_option
@click.pass_obj
def open_addon(
    state: State,
    name: str,
    inventory: Path,
    state_dir: Path | None,
    passphrase_file: Path | None,
    *,
    port: int | None,
    no_browser: bool,
    json: bool,
) -> None:
    """Open the page of an add-on in the browser.

    ADD-ON is ui (Headlamp), metrics (monitoring), logs (logging), or the name of an add-on that has a page. The page is
    reached through SSH to a control plane and listens on 127.0.0.1 only; nothing in the cluster is opened to the outside.
    What the page asks for is printed: a token that ends within the hour, or user and password; those of metrics and logs
    are made for this command, and end with it. Where people sign on with an issuer, its URL is printed, and the redirect
    URI that it has to know: name the port with --port then. The tunnel lasts until Ctrl-C.

    \b
    Examples:
      kprov open ui inventory.yaml
      kprov open metrics inventory.yaml --port 8428 --no-browser
    """
    given = Given(inventory=inventory, state_dir=state_dir, passphrase_file=passphrase_file, json=json)
    with opened(given, state, keep_log=False, quiet=True) as work:
        found = chosen(name, work.workspace.cluster.addons, shelf(inventory.absolute().parent / FOLDER))

        def tell(text: str) -> None:
            clean = state.redactor.clean(text)
            click.echo(object_line("note", {"text": clean}) if json else clean, err=not json)

        page = opened_page(
            work.workspace.cluster, work.workspace.store, work.workspace.transport, found, port=port or 0, tell=tell
        )  # the port is taken, or the page is not there: said before anything is shown
        with page as here:
            with _ending() as ended:
                _show(work.workspace.cluster.name, found[0], here, json=json)
                if not no_browser:
                    _browse(here.url)
                ended.wait()
            click.echo(object_line("closed", {}) if json else "closed", err=not json)


def _show(cluster: str, addon: Addon, page: Page, *, json: bool) -> None:
    """What the page asks for goes to standard output alone: never into a log, an address or an argument."""
    token, secret = page.token, page.password
    if json:
        values = {
            "addon": addon.name,
            "url": page.url,
            "via": page.via,
            "token": token.text if token else None,
            "expires": token.expires if token else None,
            "user": page.user or None,
            "password": secret.reveal() if secret else None,
            "issuer": page.issuer or None,
            "callback": page.callback or None,
        }
        click.echo(object_line("open", values))
        return
    click.echo(f"{addon.name} of {cluster}, through {page.via}: {page.url}")
    if page.issuer:
        click.echo(f"sign on with {page.issuer}, which has to know the redirect URI {page.callback} (see --port)")
    if token:
        click.echo(f"token, good until {token.expires}:\n\n{token.text}\n")
    if secret:
        click.echo(f"user {page.user}, password {secret.reveal()}")
    click.echo("Ctrl-C ends it" if page.lasting else "Ctrl-C ends it, and that password")


def _browse(url: str) -> None:
    """Hands the address to a browser, where one can be shown: a browser of the terminal would take the terminal away."""
    shown = sys.platform in ("darwin", "win32") or any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
    )
    if not shown or not webbrowser.open(url):
        click.echo("no browser was found here: open the address yourself", err=True)


@contextmanager
def _ending() -> Iterator[threading.Event]:
    """An event that Ctrl-C or SIGTERM sets, the first time; after it either ends the program as usual."""
    ended = threading.Event()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def end(_number: int, _frame: FrameType | None) -> None:
        restore()
        ended.set()

    for number in before:
        signal.signal(number, end)
    try:
        yield ended
    finally:
        restore()
