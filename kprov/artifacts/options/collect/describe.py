"""Build a program around upstream's own code that tells its flags and types, run it, and write its answer as data.

The pinned modules of the version are copied, so that what is described is what kprov builds; nothing pinned changes.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kprov.artifacts.build import build, component_target, environment, module_folder
from kprov.artifacts.cache import Cache, default_root
from kprov.artifacts.options.collect.kinds import flag_row, gates_in, type_rows
from kprov.artifacts.options.collect.tables import as_json, settings_of
from kprov.artifacts.options.flags import RELEASES as COMPONENTS
from kprov.artifacts.progress import Silent
from kprov.artifacts.toolchain import native

RELEASES = ("kubernetes", "etcd", "containerd")
_SOURCES = Path(__file__).parent
_ETCD = "go.etcd.io/etcd/server/v3"


def describe(release: str, version: str) -> str:
    """Return the data on one version as JSON, a line for each flag and each type.

    Raises ArtifactError when its modules are not pinned, CalledProcessError when Go fails (what it said is shown).
    """
    if release == "containerd":
        return as_json(version, settings_of(_containerd(version)))
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        _lay_out(release, version, folder)
        answers = _kubernetes(folder) if release == "kubernetes" else _etcd(folder)
    flags = {
        component: {name: flag_row(name, row) for name, row in sorted(answer.items())}
        for component, answer in answers.flags.items()
    }
    texts = {
        name.replace("-", ""): row["choices"]
        for name, row in flags.get("kubelet", {}).items()
        if isinstance(row, dict) and row["kind"] in ("text", "list") and "choices" in row
    }
    return _text(version, flags, answers, type_rows(answers.types, answers.words, texts))


def _containerd(version: str) -> str:
    """Its own program says its defaults, as kprov builds it."""
    made = build(component_target("containerd", version), native(), Cache(default_root()), Silent())
    return subprocess.run(
        [made["containerd"].local, "config", "default"], check=True, stdout=subprocess.PIPE, text=True
    ).stdout


@dataclass(frozen=True, kw_only=True)
class _Answers:
    """What programs told: flags by component, feature gates, those with one value only, group versions of the API, fields
    by type, and words by named text type.
    """

    flags: Mapping[str, Any]
    gates: list[str]
    locked: Mapping[str, bool] = field(default_factory=dict)
    apis: list[str] = field(default_factory=list)
    types: Mapping[str, Any] = field(default_factory=dict)
    words: Mapping[str, list[str]] = field(default_factory=dict)


def _kubernetes(folder: Path) -> _Answers:
    program = _build(folder, "kubernetes.go", "flags.go")
    types = _answer(program, "types")
    others = [
        name for name, released_with in COMPONENTS.items() if released_with == "kubernetes" and name != "kube-proxy"
    ]
    return _Answers(
        flags={name: _answer(program, name) for name in others}
        | {"kube-proxy": _answer(_build(folder, "kube_proxy.go", "flags.go"))},
        gates=_answer(program, "gates"),
        locked=_answer(program, "locked"),
        apis=sorted(set(_answer(program, "apis"))),
        types=types,
        words=_words(folder, types),
    )


def _etcd(folder: Path) -> _Answers:
    _open_etcd(folder)
    flags = _answer(_build(folder, "etcd.go"))
    return _Answers(flags={"etcd": flags}, gates=gates_in(flags["feature-gates"]["usage"]))


def _words(folder: Path, types: Mapping[str, Any]) -> dict[str, list[str]]:
    """The constants of each named text type, from the source of its package."""
    named = {
        match[1]
        for fields in types.values()
        for row in fields
        if (match := re.search(r"([^\]]+)=string$", row["type"]))
    }
    found = {}
    for name in sorted(named):
        package, _, word = name.rpartition(".")
        source = Path(_go(folder, "list", "-f", "{{.Dir}}", package).strip())
        text = "\n".join(path.read_text(encoding="utf-8") for path in sorted(source.glob("*.go")))
        values = re.findall(rf'^\s*\w+\s+{word}\s*=\s*"([^"]*)"', text, re.MULTILINE)
        if values:
            found[name] = ["", *values]
    return found


def _lay_out(release: str, version: str, folder: Path) -> None:
    pinned = module_folder(release, version)
    for name in ("go.mod", "go.sum"):
        shutil.copy(pinned / name, folder)
    for source in _SOURCES.glob("*.go"):
        shutil.copy(source, folder)


def _build(folder: Path, *sources: str) -> Path:
    """A program in `folder`; with the settings of kprov's own builds, whose compiled packages it shares."""
    out = f"describe-{sources[0].removesuffix('.go')}"
    _go(folder, "build", "-trimpath", "-o", out, *sources)
    return folder / out


def _open_etcd(folder: Path) -> None:
    """etcd's flags are private to its main package: a copy of it gets a function that hands them out."""
    _go(folder, "mod", "download", _ETCD)
    source = _go(folder, "list", "-m", "-f", "{{.Dir}}", _ETCD).strip()
    shutil.copytree(source, folder / "server", copy_function=shutil.copyfile)
    for path in (folder / "server", folder / "server" / "etcdmain"):
        path.chmod(0o755)
    shutil.copy(_SOURCES / "etcd_flags.go", folder / "server" / "etcdmain")
    _go(folder, "mod", "edit", "-replace", f"{_ETCD}=./server")


def _go(folder: Path, *arguments: str) -> str:
    return subprocess.run(
        ["go", *arguments], cwd=folder, env=environment(native()), check=True, stdout=subprocess.PIPE, text=True
    ).stdout


def _answer(program: Path, *question: str) -> Any:
    return json.loads(subprocess.run([program, *question], check=True, stdout=subprocess.PIPE, text=True).stdout)


def _text(
    version: str,
    flags: Mapping[str, Mapping[str, Any]],
    answers: _Answers,
    types: Mapping[str, Mapping[str, str] | list[str]],
) -> str:
    """JSON that is read in a moment, and in which a changed flag is a changed line."""
    blocks = [f"{json.dumps(name)}: {{\n{_rows(rows)}\n}}" for name, rows in flags.items()]
    sections = [
        f'"version": {json.dumps(version)}',
        '"flags": {\n' + ",\n".join(blocks) + "\n}",
        f'"gates": {json.dumps(answers.gates)}',
        f'"locked": {json.dumps(answers.locked)}',
        f'"apis": {json.dumps(answers.apis)}',
        f'"types": {{\n{_rows(types)}\n}}',
    ]
    return "{\n" + ",\n".join(sections) + "\n}\n"


def _rows(rows: Mapping[str, Any]) -> str:
    return ",\n".join(f"{json.dumps(name)}: {json.dumps(row)}" for name, row in rows.items())
