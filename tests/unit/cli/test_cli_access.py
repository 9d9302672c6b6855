"""`kprov kubeconfig` for people, what was given out, and the key of backups: over a real state folder, asking no host."""

from __future__ import annotations

from base64 import b64decode
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from cryptography import x509
from cryptography.x509.oid import NameOID
from rights_api import Api, bound, client

from kprov.cli.access import issued_lines
from kprov.cli.program import run
from kprov.state.issued import NAME, Issued, add_issued, old_holders, read_issued
from kprov.state.sealed import unlock_text
from kprov.state.store import Store

NOW = datetime(2026, 11, 30, tzinfo=UTC)


@pytest.fixture
def inventory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("KPROV_PASSPHRASE", raising=False)
    file = tmp_path / "inventory.yaml"
    file.write_text("cluster: {name: prod}\nhosts:\n  cp1: {address: 192.0.2.1, groups: [control_plane]}\n")
    folder(file).parent.mkdir(mode=0o700)
    Store.open(folder(file), "prod").create_trust("ecdsa-p256", 3650, datetime.now(UTC))
    return file


def folder(inventory: Path) -> Path:
    return inventory.parent / ".kprov" / "prod"


def certificate(text: str) -> x509.Certificate:
    user = yaml.safe_load(text)["users"][0]["user"]
    return x509.load_pem_x509_certificate(b64decode(user["client-certificate-data"]))


def test_a_person_gets_a_kubeconfig_and_is_written_down(
    inventory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "anna.conf"
    words = ["kubeconfig", str(inventory), "--user", "anna", "--group", "developers", "--days", "3", "-o", str(target)]
    assert run(words) == 0
    assert target.stat().st_mode & 0o777 == 0o600
    made = certificate(target.read_text())
    assert [str(name.value) for name in made.subject] == ["developers", "anna"]
    assert made.not_valid_after_utc - datetime.now(UTC) < timedelta(days=3, minutes=1)
    (row,) = read_issued(folder(inventory))
    assert (row.user, row.groups, row.serial) == ("anna", ("developers",), f"{made.serial_number:x}")
    assert run(["kubeconfig", str(inventory), "--list"]) == 0
    assert "anna  developers" in capsys.readouterr().out


def test_an_administrator_is_written_down_too(inventory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["kubeconfig", str(inventory)]) == 0
    made = certificate(capsys.readouterr().out)
    assert made.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == "kubernetes-admin"
    assert [row.user for row in read_issued(folder(inventory))] == ["kubernetes-admin"]


def test_a_person_without_a_group_is_told_to_have_no_rights(
    inventory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["kubeconfig", str(inventory), "--user", "anna"]) == 0
    said = capsys.readouterr()
    assert "anna has no rights yet: give a role with --namespace NAMESPACE --role edit" in said.err
    assert yaml.safe_load(said.out)["current-context"] == "anna@prod"


@pytest.mark.parametrize(
    "words", [["--user", "system:admin"], ["--user", "a", "--group", "system:masters"], ["--group", "a"]]
)
def test_what_may_not_be_given_out_is_not_written_down(inventory: Path, words: list[str]) -> None:
    assert run(["kubeconfig", str(inventory), *words]) == 1
    assert read_issued(folder(inventory)) == ()


def test_a_damaged_list_is_told_and_nothing_is_given_out(inventory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = folder(inventory) / NAME
    path.touch(mode=0o600)
    path.write_text("{")
    assert run(["kubeconfig", str(inventory)]) == 1
    said = capsys.readouterr()
    assert "list of what was given out is damaged" in said.err
    assert said.out == ""


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Api:
    answers = Api()
    monkeypatch.setattr("kprov.cli.access.api_client", lambda _: nullcontext(client(answers)))
    return answers


def test_a_role_is_given_with_the_kubeconfig_listed_and_taken_back(
    inventory: Path, api: Api, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--user", "anna", "--namespace", "shop", "--role", "edit", "--days", "3"]
    assert run(["kubeconfig", str(inventory), *given]) == 0
    said = capsys.readouterr()
    assert "no rights" not in said.err
    assert yaml.safe_load(said.out)["current-context"] == "anna@prod"
    assert [bound(item) for item in api.bindings] == [("shop", "ClusterRole", "edit", "anna")]
    assert run(["kubeconfig", str(inventory), "--list"]) == 0
    assert "edit in shop" in capsys.readouterr().out
    assert run(["kubeconfig", str(inventory), "--take-back", "anna"]) == 0
    told = capsys.readouterr().out
    assert "removed: shop/kprov:clusterrole:edit:" in told
    assert "anna's certificate is good until" in told
    assert api.bindings == []
    assert run(["kubeconfig", str(inventory), "--list"]) == 0
    assert f"taken back {datetime.now(UTC):%Y-%m-%d}" in capsys.readouterr().out
    assert old_holders(read_issued(folder(inventory)), datetime.now(UTC), datetime.now(UTC)) == []


def test_what_others_gave_is_named(inventory: Path, api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["kubeconfig", str(inventory), "--user", "anna", "--group", "developers"]) == 0
    subjects = [{"kind": "Group", "name": "developers"}]
    api.cluster_bindings.append({"metadata": {"name": "devs"}, "roleRef": {"name": "view"}, "subjects": subjects})
    capsys.readouterr()
    assert run(["kubeconfig", str(inventory), "--take-back", "anna"]) == 0
    told = capsys.readouterr().out
    assert "removed: nothing: kprov gave this name no role" in told
    assert "still gives rights: clusterrolebinding devs (group developers): view" in told


def test_a_role_that_is_not_there_gives_out_nothing(
    inventory: Path, api: Api, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--user", "anna", "--namespace", "shop", "--role", "edti"]
    assert run(["kubeconfig", str(inventory), *words]) == 1
    assert "there is no such role" in capsys.readouterr().err
    assert read_issued(folder(inventory)) == ()
    assert api.bindings == []


@pytest.mark.parametrize(
    "words",
    [
        ["--user", "anna", "--role", "edit"],
        ["--user", "anna", "--namespace", "shop"],
        ["--namespace", "shop", "--role", "edit"],
        ["--take-back", "anna", "--user", "anna"],
        ["--user", "system:admin", "--namespace", "shop", "--role", "edit"],
    ],
)
def test_half_of_what_gives_a_role_is_refused(inventory: Path, api: Api, words: list[str]) -> None:
    assert run(["kubeconfig", str(inventory), *words]) == 1
    assert api.asked == []


def test_what_has_ended_stays_in_the_list(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    for user, days in (("anna", 5), ("ben", -1)):
        one = Issued(user=user, groups=(), made=NOW, ends=NOW + timedelta(days=days), by="op", serial="ab")
        add_issued(tmp_path, one)
    rows = list(issued_lines(read_issued(tmp_path), NOW))
    assert [row.split()[-2] for row in rows] == ["DAYS", "5", "ended"], rows
    assert list(issued_lines((), NOW)) == ["nothing was given out"]


def test_the_key_of_backups_comes_out_encrypted_only(
    inventory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    passphrase, target = tmp_path / "p", tmp_path / "key"
    passphrase.touch(mode=0o600)
    passphrase.write_text("correct horse\n")
    assert run(["backup", "key", str(inventory), "-o", str(target), "--key-passphrase-file", str(passphrase)]) == 0
    key = Store.open(folder(inventory), "prod").backup_key().reveal()
    assert target.stat().st_mode & 0o777 == 0o600
    assert unlock_text(target.read_bytes(), "correct horse", "key").strip() == key
    assert key not in capsys.readouterr().out
    assert key.encode() not in target.read_bytes()


def test_no_backups_are_listed_where_there_are_none(inventory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["backup", "list", str(inventory)]) == 0
    assert "no backup of cluster prod" in capsys.readouterr().out
    assert run(["backup", "verify", "latest", str(inventory)]) == 1
    assert "there is no backup of cluster prod" in capsys.readouterr().err


@pytest.mark.parametrize("words", [[], ["a", "b", "c"], ["--from-member", "cp1", "a", "b"]])
def test_a_restore_says_which_arguments_it_takes(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["restore", *words]) == 1
    assert "INVENTORY" in capsys.readouterr().err


def test_a_restore_asks_nobody_without_a_terminal_to_confirm_at(
    inventory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["restore", "latest", str(inventory)]) == 1
    assert "Confirmation required" in capsys.readouterr().err
    assert run(["restore", "--from-member", "cp9", str(inventory), "--yes"]) == 1
    assert "there is no such host" in capsys.readouterr().err


@pytest.mark.parametrize("words", [[], ["cp1", "--all"]])
def test_renewing_needs_names_or_all(inventory: Path, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["certs", "renew", str(inventory), "--yes", *words]) == 1
    assert "--all" in capsys.readouterr().err


def test_a_name_of_nothing_is_told_before_any_host_is_asked(
    inventory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["certs", "renew", str(inventory), "--yes", "etcd-pear"]) == 1
    assert "did you mean 'etcd-peer'?" in capsys.readouterr().err


def sign_on(inventory: Path, *issuers: str, audiences: str = "[kubernetes]") -> None:
    """Give the inventory issuers, the first with a CA of its own."""
    (inventory.parent / "ca.pem").write_text("-----BEGIN CERTIFICATE-----\n")
    policy = "audienceMatchPolicy: MatchAny, certificateAuthority: {file: ca.pem}"
    mapping = "claimMappings: {username: {claim: sub, prefix: 'x:'}}"
    rows = [f"{{issuer: {{url: '{url}', audiences: {audiences}, {policy}}}, {mapping}}}" for url in issuers]
    text = f"cluster: {{name: prod, authentication: {{jwt: [{', '.join(rows)}]}}}}\n"
    inventory.write_text(text + "hosts:\n  cp1: {address: 192.0.2.1, groups: [control_plane]}\n")


def test_who_signs_on_gets_a_kubeconfig_without_a_key(inventory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sign_on(inventory, "https://id.example.org")
    assert run(["kubeconfig", str(inventory), "--oidc", "--scope", "groups"]) == 0
    made = yaml.safe_load(capsys.readouterr().out)
    (user,) = made["users"]
    plugin = user["user"]["exec"]
    assert (user["name"], made["current-context"]) == ("oidc@prod", "oidc@prod")
    assert plugin["command"] == "kubectl"
    assert plugin["args"][:5] == [
        "oidc-login",
        "get-token",
        "--oidc-issuer-url=https://id.example.org",
        "--oidc-client-id=kubernetes",
        "--oidc-extra-scope=groups",
    ]
    (trusted,) = [word.partition("=")[2] for word in plugin["args"] if word.startswith("--certificate-authority-data=")]
    assert b64decode(trusted) == b"-----BEGIN CERTIFICATE-----\n"
    assert "kubelogin" in plugin["installHint"]
    assert "certificate-authority-data" in made["clusters"][0]["cluster"]
    assert read_issued(folder(inventory)) == (), "nothing was given out"


@pytest.mark.parametrize(
    ("issuers", "audiences", "words", "said"),
    [
        ((), "[a]", ["--oidc"], "the cluster knows no issuer to sign on with"),
        (("https://a.example", "https://b.example"), "[a]", ["--oidc"], "the cluster knows several issuers"),
        (("https://a.example",), "[a]", ["--oidc", "--issuer", "https://c.example"], "does not know this issuer"),
        (("https://a.example",), "[a, b]", ["--oidc"], "the issuer has several audiences"),
        (("https://a.example",), "[a]", ["--oidc", "--user", "anna"], "--oidc goes with neither --user nor --days"),
        (("https://a.example",), "[a]", ["--client-id", "x"], "need --oidc"),
    ],
)
def test_what_is_not_clear_of_an_issuer_is_asked_for(
    inventory: Path,
    capsys: pytest.CaptureFixture[str],
    issuers: tuple[str, ...],
    audiences: str,
    words: list[str],
    said: str,
) -> None:
    sign_on(inventory, *issuers, audiences=audiences)
    assert run(["kubeconfig", str(inventory), *words]) == 1
    assert said in capsys.readouterr().err


def test_one_of_several_issuers_and_a_client_are_chosen_by_name(
    inventory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sign_on(inventory, "https://a.example", "https://b.example", audiences="[a, b]")
    words = ["--oidc", "--issuer", "https://b.example", "--client-id", "b"]
    assert run(["kubeconfig", str(inventory), *words]) == 0
    args = yaml.safe_load(capsys.readouterr().out)["users"][0]["user"]["exec"]["args"]
    assert args[2:4] == ["--oidc-issuer-url=https://b.example", "--oidc-client-id=b"]
