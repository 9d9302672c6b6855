"""The command line without any host: help, exit codes, what a broken inventory and a defect look like."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from kprov.cli import program
from kprov.cli.reference import commands, render

ROOT = Path(__file__).parents[3]
ON_INVENTORIES = ("validate", "plan", "up", "status", "verify", "kubeconfig", "down")


def test_the_page_of_commands_is_up_to_date() -> None:
    page = ROOT / "docs/reference/cli.md"
    assert page.read_text() == render(), f"run: python -m kprov.cli.reference {page.relative_to(ROOT)}"


@pytest.mark.parametrize("path", [path for path, _ in commands()])
def test_every_command_has_an_example(path: str) -> None:
    assert path in (dict(commands())[path].help or "").partition("Example")[2]


def test_help_loads_nothing_heavy() -> None:
    script = (
        "import sys; from kprov.cli.program import run; code = run(['--help']);"
        "heavy = {'paramiko', 'fabric', 'cryptography', 'jinja2', 'pydantic', 'httpx', 'rich.table'} & set(sys.modules);"
        "sys.exit(f'loaded: {heavy}' if heavy else code)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Exit codes: 0 done" in done.stdout


@pytest.mark.parametrize(
    ("words", "all_modules", "own"),
    [(["--help"], 200, 12), (["validate", "inventory/ha.yaml"], 372, 86)],
    ids=["help", "validate"],
)
def test_what_is_used_often_imports_little(words: list[str], all_modules: int, own: int) -> None:
    """The time of both is that of their imports, and a count holds on a busy computer too."""
    script = (
        "import sys; from kprov.cli.program import run; code = run(sys.argv[1:]);"
        "mine = sum(name.partition('.')[0] == 'kprov' for name in sys.modules);"
        "print(len(sys.modules), mine, file=sys.stderr); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", script, *words], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0
    counted = [int(word) for word in done.stderr.split()[-2:]]
    assert counted[0] <= all_modules
    assert counted[1] <= own


@pytest.mark.parametrize("command", ON_INVENTORIES)
@pytest.mark.parametrize(
    ("text", "place"),
    [("cluster:\n  nam: x\nhosts: {a: 192.0.2.1}\n", ":2:"), ("", ":1:"), ("cluster:\n\tname: x\n", ":2:")],
)
def test_a_broken_inventory_is_exit_code_1_with_its_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str, text: str, place: str
) -> None:
    file = tmp_path / "i.yaml"
    file.write_text(text)
    extra = ["--yes"] if command in ("up", "down") else []
    assert program.run([command, str(file), *extra]) == 1
    told = capsys.readouterr().err
    assert f"{file}{place}" in told
    assert "Traceback" not in told
    assert [path.name for path in tmp_path.iterdir()] == ["i.yaml"]


@pytest.mark.parametrize("command", ON_INVENTORIES)
def test_a_missing_inventory_is_exit_code_1(tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str) -> None:
    extra = ["--yes"] if command in ("up", "down") else []
    assert program.run([command, str(tmp_path / "none.yaml"), *extra]) == 1
    assert "none.yaml" in capsys.readouterr().err


def test_an_unknown_command_is_exit_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert program.run(["upp"]) == 1
    assert "upp" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("raised", "code", "said"),
    [
        (KeyboardInterrupt(), 130, "interrupted: nothing on any host was changed"),
        (RuntimeError("odd"), 1, "Internal error: RuntimeError: odd"),
    ],
)
def test_interrupts_and_defects_end_in_order(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    raised: BaseException,
    code: int,
    said: str,
) -> None:
    def load(_: Path) -> None:
        raise raised

    monkeypatch.setattr("kprov.cli.work.load", load)
    assert program.run(["status", "i.yaml"]) == code
    told = capsys.readouterr().err
    assert said in told
    assert "Traceback" not in told


def test_up_without_anybody_to_ask_wants_a_yes_and_asks_no_host(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "i.yaml"
    file.write_text("cluster: {name: x}\nhosts: {a: {address: 192.0.2.1, group: control_plane}}\n")
    assert program.run(["up", str(file), "--json"]) == 1
    assert "--yes" in capsys.readouterr().err
