"""The examples for users' own CI say the same to both services, and the page says what they do. Runs nothing."""

from __future__ import annotations

from pathlib import Path

import yaml

DOCS = Path(__file__).parents[3] / "docs"
GITHUB = yaml.safe_load((DOCS / "ci/github.yaml").read_text())["jobs"]["cluster"]["steps"]
GITLAB = yaml.safe_load((DOCS / "ci/gitlab.yaml").read_text())["cluster"]


def test_both_services_run_the_same_commands() -> None:
    github = [line for step in GITHUB for line in step.get("run", "").splitlines()]
    assert github == [*GITLAB["before_script"], *GITLAB["script"], *GITLAB["after_script"]]


def test_the_page_shows_the_commands_that_they_run() -> None:
    shown = (DOCS / "ci.md").read_text()
    for line in (*GITLAB["script"], *GITLAB["after_script"]):
        assert line in shown, line


def test_machines_are_taken_away_and_the_report_is_kept_whatever_happened() -> None:
    always = [step for step in GITHUB if step.get("if") == "always()"]
    assert ["uses" in step for step in always] == [True, False]
    assert "lab down" in always[1]["run"]
    assert GITLAB["artifacts"]["when"] == "always"
