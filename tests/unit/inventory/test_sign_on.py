"""An add-on that people sign on with: its issuer and its client must be such that the API servers let them in."""

from __future__ import annotations

from pathlib import Path

import pytest
from inventory_text import cluster, loaded, only

JWT = (
    "authentication: {jwt: [{issuer: {url: 'https://a.example.org', audiences: %s}, claimMappings: "
    "{username: {claim: sub, prefix: 'oidc:'}}}]}"
)
ONE, TWO = JWT % "[kubernetes]", JWT % "[kubernetes, web], audienceMatchPolicy: MatchAny"


@pytest.mark.parametrize(
    ("lines", "place", "what", "needed", "todo"),
    [
        (
            (ONE, "addons: {headlamp: {sign_on: 'https://b.example.org'}}"),
            "4:32",
            "the API servers do not know this issuer",
            "https://a.example.org",
            "did you mean 'https://a.example.org'?",
        ),
        (
            ("addons: {headlamp: {sign_on: 'https://b.example.org'}}",),
            "3:32",
            "do not know this",
            "`authentication",
            "docs",
        ),
        (
            (TWO, "addons: {headlamp: {sign_on: 'https://a.example.org'}}"),
            "4:32",
            "several audiences",
            "`client_id`",
            "kub",
        ),
        (
            (ONE, "addons: {headlamp: {sign_on: 'https://a.example.org', client_id: other}}"),
            "4:68",
            "the API servers refuse tokens of this client",
            "kubernetes",
            "name another client",
        ),
    ],
)
def test_who_would_be_refused_is_told_with_the_line(
    lines: tuple[str, ...], place: str, what: str, needed: str, todo: str
) -> None:
    error = only(cluster(*lines))
    assert error.where.startswith(f"i.yaml:{place}")
    assert what in error.what
    assert needed in error.needed
    assert todo in error.todo


def test_the_secret_of_a_client_comes_by_reference(tmp_path: Path) -> None:
    path = tmp_path / "client.secret"
    path.touch(mode=0o600)
    path.write_text("s3cret\n")
    line = (
        "addons: {headlamp: {sign_on: 'https://a.example.org', client_id: web, client_secret: {file: client.secret}}}"
    )
    (addon,) = (
        one for one in loaded(cluster(TWO, line), path=tmp_path / "i.yaml").cluster.addons if one.name == "headlamp"
    )
    assert addon.issuer == "https://a.example.org"
    assert addon.parameters["client_secret"].reveal() == "s3cret"
    assert "s3cret" not in repr(addon)
    wrong = only(cluster(TWO, line.replace("{file: client.secret}", "s3cret")), path=tmp_path / "i.yaml")
    assert "a secret may not stand in the inventory" in wrong.what
    assert "s3cret" not in str(wrong)
