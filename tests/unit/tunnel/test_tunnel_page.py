"""What a page is opened with: a token of its account, or nothing but the name of whom people sign on with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from inventory_text import cluster, loaded

from kprov.addon.choose import by_name
from kprov.state.store import Store
from kprov.transport.fake import FakeTransport
from kprov.tunnel import page
from kprov.tunnel.target import Target, Token

(HEADLAMP,) = (addon for addon in by_name(["headlamp"]) if addon.name == "headlamp")


class Reached:
    """In place of the way to a control plane."""

    host = "cp1"

    def __init__(self, *_: Any) -> None: ...

    def settle(self, _: Any) -> Target:
        return Target(address="10.96.0.9", port=80, name="x")

    def dial(self, *_: Any) -> Any: ...

    def close(self) -> None: ...


@pytest.mark.parametrize("issuer", ["", "https://login.example.org"])
def test_whoever_signs_on_is_handed_no_token(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, issuer: str) -> None:
    monkeypatch.setattr(page, "Way", Reached)
    monkeypatch.setattr(page, "_proven", lambda *_: None)
    monkeypatch.setattr(page, "_token", lambda *_: Token(text="t0k", expires="soon"))
    addon = replace(HEADLAMP, parameters={**HEADLAMP.parameters, "sign_on": issuer or None})
    opening = addon.description.opening
    assert opening is not None
    store = Store.open(tmp_path, "c")
    with page.opened(
        loaded(cluster()).cluster,
        store,
        FakeTransport(handler=lambda *_: pytest.fail("nobody is asked")),
        (addon, opening),
        port=0,
        tell=lambda _: None,
    ) as found:
        assert (found.token is None) == bool(issuer)
        assert found.issuer == issuer
        assert found.callback == (f"{found.url}oidc-callback" if issuer else "")
