"""Scripts of components that may be the user's own are parsed on the host before they get their names."""

from __future__ import annotations

from pathlib import Path

from kprov.roles.templating import render_script
from kprov.values.resources import FILE

NAME = "network/kprov-network.sh"


def test_a_script_that_may_be_the_users_is_parsed_and_kprovs_own_costs_nothing(tmp_path: Path) -> None:
    assert render_script(None, NAME, "/opt/x").check == ()
    own = tmp_path / NAME
    own.parent.mkdir()
    own.write_text("if true; then\n")
    script = render_script(tmp_path, NAME, "/opt/x")
    assert (script.check, script.content, script.mode) == (("sh", "-n", FILE), b"if true; then\n", 0o755)
