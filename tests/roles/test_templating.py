"""Words on a systemd command line, and whose template is used."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from kprov.roles.documents import arguments, laid_over
from kprov.roles.templating import render, systemd_word
from kprov.values.errors import KprovError


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("--name=value", "--name=value"),
        ("--a=b c", '"--a=b c"'),
        ("100%", '"100%%"'),
        ("$HOME", '"$$HOME"'),
        ('say "hi"', '"say \\"hi\\""'),
        ("back\\slash", '"back\\\\slash"'),
        (";", '";"'),
        ("", '""'),
        ("it's", '"it\'s"'),
        ("--x=*", '"--x=*"'),
        ("ünï", '"ünï"'),
    ],
)
def test_systemd_word(text: str, word: str) -> None:
    assert systemd_word(text) == word


@pytest.mark.parametrize("text", ["$$", "%%n", "${A}", "a\\", '\\"', "a;b|c&d", "`id`", "$(id)", "\\x41", "#", "{}"])
def test_a_word_arrives_as_it_was(text: str) -> None:
    """Unquoted and expanded as systemd.service(5) says: quotes and backslashes first, then %% and $$."""
    (unquoted,) = shlex.split(systemd_word(text))
    assert unquoted.replace("%%", "%").replace("$$", "$") == text


@pytest.mark.parametrize("text", ["a\nb", "a\rb", "\x00", "\x1b[31m", "\x7f"])
def test_control_characters_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="control character"):
        systemd_word(text)


def test_the_users_template_wins(tmp_path: Path) -> None:
    (tmp_path / "coredns").mkdir()
    (tmp_path / "coredns" / "Corefile.j2").write_text("{{ domain }}!\n")
    assert render(tmp_path, "coredns/Corefile.j2", domain="x") == b"x!\n"
    assert b"kubernetes x in-addr.arpa" in render(None, "coredns/Corefile.j2", domain="x")


def test_a_users_folder_may_hold_only_some_templates(tmp_path: Path) -> None:
    assert b"kubernetes x" in render(tmp_path, "coredns/Corefile.j2", domain="x")


def test_values_are_data() -> None:
    assert b"kubernetes {{ 7 * 7 }} in" in render(None, "coredns/Corefile.j2", domain="{{ 7 * 7 }}")


def test_an_unknown_value_is_an_error_that_names_the_template(tmp_path: Path) -> None:
    (tmp_path / "mine.j2").write_text("{{ nobody }}")
    with pytest.raises(KprovError) as caught:
        render(tmp_path, "mine.j2")
    assert caught.value.where == "mine.j2"
    assert "nobody" in caught.value.found


def test_settings_are_laid_over_and_merged() -> None:
    base = {"a": {"b": 1, "c": [1, 2]}, "d": 4}
    assert laid_over(base, {"a": {"c": [3]}, "e": 5}) == {"a": {"b": 1, "c": [3]}, "d": 4, "e": 5}
    assert base == {"a": {"b": 1, "c": [1, 2]}, "d": 4}


def test_arguments_keep_our_order_and_the_users_values() -> None:
    assert arguments({"b": "1", "a": "2"}, {"a": "3", "z": "4", "c": "5"}) == ("--b=1", "--a=3", "--c=5", "--z=4")


def test_a_template_without_values_is_rendered_once(tmp_path: Path) -> None:
    (tmp_path / "etc.conf").write_text("the same on all hosts\n")
    assert render(tmp_path, "etc.conf") is render(tmp_path, "etc.conf")
