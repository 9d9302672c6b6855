"""What kube-apiserver says of an inventory's documents, told at their lines; the program is a script here."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from inventory_text import cluster

from kprov.artifacts.catalog import resolve_versions
from kprov.artifacts.toolchain import native
from kprov.inventory import Loaded, parse
from kprov.run.judge import judge
from kprov.values.errors import InventoryError

LINES = (
    "authentication:",
    "  jwt:",
    "  - issuer: {url: 'https://a.example.org', audiences: [k]}",
    "    claimMappings:",
    "      username:",
    "        expression: claims.sub",
)
# Takes what it is given up to the file that is not there; says `complaint` of what has BAD in it.
SERVER = """#!/bin/sh
for word in "$@"; do case $word in
    --*-config=*/authentication-config | --*=*/authorization-config | --*=*/audit-policy-file)
        grep -qs BAD "${word#*=}" && bad=yes
        for named in $(grep -o '/[^"]*[.]kubeconfig' "${word#*=}"); do grep -qs https: "$named" || bad=yes; done ;;
    --audit-policy-file=*/last | --audit-webhook-config-file=*/last) last=${word#*=} ;;
esac; done
[ -z "$bad" ] || { echo 'E0 run.go:72] "command failed" err="%s"'; exit 1; }
echo "E0 run.go:72] \\"command failed\\" err=\\"no such file $last\\""; exit 1
"""


def cache(folder: Path, complaint: str, version: str | None = None) -> Path:
    """A cache of artifacts with a kube-apiserver of the inventory's version."""
    version = version or resolve_versions("")["kubernetes"]
    place = folder / "cache" / "files" / "modules" / f"kube-apiserver-{version}-{native()}-0"
    place.mkdir(parents=True)
    program = place / "kube-apiserver"
    program.write_text(SERVER.replace("%s", complaint.replace('"', '\\"')))
    program.chmod(0o755)
    record = {"name": "kube-apiserver", "version": version, "arch": native(), "source": "modules", "mtime_ns": 0}
    sha256 = hashlib.sha256(program.read_bytes()).hexdigest()
    record |= {"file": "kube-apiserver", "sha256": sha256, "size": program.stat().st_size}
    (place / "record.json").write_text(json.dumps(record))
    return folder / "cache"


def loaded(tmp_path: Path, *lines: str) -> Loaded:
    return parse(cluster(*lines), path=tmp_path / "i.yaml", environment={})


def refused(tmp_path: Path, complaint: str, *lines: str) -> str:
    with pytest.raises(InventoryError) as caught:
        judge(loaded(tmp_path, *lines), Path("i.yaml"), cache(tmp_path, complaint))
    (mistake,) = caught.value.mistakes
    return str(mistake)


def test_what_it_takes_is_no_mistake(tmp_path: Path) -> None:
    assert judge(loaded(tmp_path, *LINES), Path("i.yaml"), cache(tmp_path, "x"))


def test_what_it_refuses_is_told_at_the_line_of_the_field(tmp_path: Path) -> None:
    said = refused(
        tmp_path, 'invalid: jwt[0].claimMappings.username.expression: Invalid value: "x"', *LINES[:-1],
        "        expression: claims.BAD",
    )  # fmt: skip
    assert said.startswith("i.yaml:8: cluster.authentication: jwt[0].claimMappings.username.expression: Invalid value")


def test_of_authorizers_those_of_kprov_are_not_counted(tmp_path: Path) -> None:
    (tmp_path / "k").write_text(
        "clusters: [{name: c, cluster: {server: 'https://a'}}]\ncontexts: [{name: x}]\ncurrent-context: x\n"
    )
    (tmp_path / "k").chmod(0o600)
    said = refused(
        tmp_path,
        "authorizers[2].matchConditions[0].expression: Invalid value",
        "authorization:",
        "  authorizers:",
        "  - name: own",
        "    type: Webhook",
        "    webhook:",
        "      timeout: 3s",
        "      subjectAccessReviewVersion: v1",
        "      failurePolicy: Deny",
        "      connectionInfo: {type: KubeConfigFile, kubeConfigFile: k}",
        "      matchConditionSubjectAccessReviewVersion: v1",
        "      matchConditions: [{expression: BAD}]",
    )
    assert said.startswith("i.yaml:4: cluster.authorization: authorizers[2]")


def test_a_webhook_is_judged_with_its_kubeconfig_which_is_gone_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without it kube-apiserver finds no configuration in the file that it is given."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    (tmp_path / "k").write_text(
        "clusters: [{name: c, cluster: {server: 'https://a'}}]\ncontexts: [{name: x}]\ncurrent-context: x\n"
    )
    (tmp_path / "k").chmod(0o600)
    webhook = "timeout: 3s, subjectAccessReviewVersion: v1, failurePolicy: Deny"
    connection = "connectionInfo: {type: KubeConfigFile, kubeConfigFile: k}"
    line = f"  authorizers: [{{name: own, type: Webhook, webhook: {{{webhook}, {connection}}}}}]"
    assert judge(loaded(tmp_path, "authorization:", line), Path("i.yaml"), cache(tmp_path, "no configuration"))
    assert list(scratch.iterdir()) == []


def test_without_its_program_or_anything_to_ask_it_nothing_is_asked(tmp_path: Path) -> None:
    assert not judge(loaded(tmp_path, *LINES), Path("i.yaml"), tmp_path / "none")
    assert not judge(loaded(tmp_path, *LINES), Path("i.yaml"), cache(tmp_path, "x", "1.2.3"))
    assert not judge(loaded(tmp_path), Path("i.yaml"), cache(tmp_path / "other", "x"))


def test_a_program_that_was_tampered_with_is_not_run(tmp_path: Path) -> None:
    root = cache(tmp_path, "x")
    next(root.glob("files/*/*/kube-apiserver")).write_text("#!/bin/sh\ntouch /tmp/never\n")
    assert not judge(loaded(tmp_path, *LINES), Path("i.yaml"), root)
