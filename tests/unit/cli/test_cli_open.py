"""What `kprov open` shows of a page: whom people sign on with, or what else it asks for."""

from __future__ import annotations

import json

import pytest

from kprov.addon.choose import by_name
from kprov.cli.open import _show
from kprov.tunnel.page import Page
from kprov.tunnel.target import Token

(HEADLAMP,) = (addon for addon in by_name(["headlamp"]) if addon.name == "headlamp")
URL = "http://127.0.0.1:8000/"
SIGNED = Page(url=URL, via="cp1", issuer="https://login.example.org", callback=f"{URL}oidc-callback")


def test_the_issuer_and_the_redirect_uri_that_it_has_to_know_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    _show("prod", HEADLAMP, SIGNED, json=False)
    shown = capsys.readouterr().out
    assert f"sign on with https://login.example.org, which has to know the redirect URI {URL}oidc-callback" in shown
    assert "token" not in shown
    _show("prod", HEADLAMP, SIGNED, json=True)
    told = json.loads(capsys.readouterr().out)
    assert (told["issuer"], told["callback"], told["token"]) == (SIGNED.issuer, SIGNED.callback, None)


def test_a_page_without_an_issuer_shows_its_token(capsys: pytest.CaptureFixture[str]) -> None:
    _show("prod", HEADLAMP, Page(url=URL, via="cp1", token=Token(text="t0k", expires="soon")), json=False)
    shown = capsys.readouterr().out
    assert "token, good until soon:\n\nt0k\n" in shown
    assert "sign on" not in shown
