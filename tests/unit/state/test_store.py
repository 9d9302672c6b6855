"""The state folder: keys are made once, kept privately, found again, and never shown."""

from __future__ import annotations

import itertools
import json
import os
import signal
import stat
import subprocess
import sys
import traceback
from base64 import b64encode
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from pki_cases import NOW, leaf

import kprov.state.store
from kprov.pki.conflict import trust_conflict
from kprov.pki.reissue import why_reissue
from kprov.state.store import Store, state_folder
from kprov.values.certificate import AUTHORITIES
from kprov.values.errors import LockedError, StoreError
from kprov.values.secret import Secret

PASSPHRASE = Secret("correct horse battery")
WRONG = Secret("wrong-canary")


@pytest.fixture
def path(tmp_path):
    return state_folder(tmp_path / "inventory.yaml", "prod")


@pytest.fixture
def made(path):
    store = Store.open(path, "prod")
    store.create_trust("ecdsa-p256", 3650, NOW)
    return store


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def test_where_the_state_is(tmp_path):
    assert state_folder(tmp_path / "inventory.yaml", "prod") == tmp_path / ".kprov" / "prod"
    assert state_folder(Path("inventory.yaml"), "prod") == Path.cwd() / ".kprov" / "prod"
    assert state_folder(tmp_path / "inventory.yaml", "prod", Path("/secure/prod")) == Path("/secure/prod")


def test_opening_reads_and_leaves_no_trace(path):
    store = Store.open(path, "prod")
    assert not store.exists
    assert not path.parent.exists()
    assert not Store.is_sealed(path)
    for ask in (store.trust, store.fingerprints, lambda: store.cluster_id, lambda: store.authority("etcd")):
        with pytest.raises(StoreError, match="holds no keys of cluster prod"):
            ask()


def test_trust_is_complete_and_found_again(path, made):
    again = Store.open(path, "prod")
    assert again.exists
    trust, other = made.trust(), again.trust()
    assert set(trust.bundle) == set(AUTHORITIES)
    for field in ("bundle", "issuer", "service_account_key", "service_account_public", "encryption_key"):
        assert getattr(trust, field) == getattr(other, field), field
    assert len(trust.encryption_key) == 32
    assert again.cluster_id == made.cluster_id
    assert len(again.cluster_id) == 32
    assert again.fingerprints() == made.fingerprints()
    assert trust_conflict(again.known_fingerprints(), {"cp1": made.known_fingerprints()}) is None
    assert len(set(again.fingerprints().values())) == 3


@pytest.mark.parametrize("algorithm", ["ecdsa-p256", "rsa-2048"])
def test_the_service_account_pair_belongs_together(path, algorithm):
    trust = Store.open(path, "prod").create_trust(algorithm, 3650, NOW)
    private = serialization.load_pem_private_key(trust.service_account_key, password=None)
    assert private.public_key() == serialization.load_pem_public_key(trust.service_account_public)


def test_an_authority_found_again_issues_under_the_same_ca(path, made):
    authority = Store.open(path, "prod").authority("kubernetes")
    pem = authority.issue(leaf(), NOW).cert_pem
    assert why_reissue(pem, leaf(), made.trust().issuer["kubernetes"], NOW) is None


def test_authorities_live_as_long_as_asked(path):
    trust = Store.open(path, "prod").create_trust("ecdsa-p256", 100, NOW)
    ends = {x509.load_pem_x509_certificate(pem).not_valid_after_utc for pem in trust.bundle.values()}
    assert ends == {NOW.replace(microsecond=0) + timedelta(days=100)}


def test_keys_are_never_made_twice(path, made):
    before = (path / "trust.json").read_bytes()
    for store in (made, Store.open(path, "prod")):
        with pytest.raises(StoreError, match="never made twice"):
            store.create_trust("ecdsa-p256", 3650, NOW)
    assert (path / "trust.json").read_bytes() == before


def test_two_that_make_keys_at_once_end_with_one_set(path):
    first, second = Store.open(path, "prod"), Store.open(path, "prod")
    trust = first.create_trust("ecdsa-p256", 3650, NOW)
    with pytest.raises(StoreError, match="never made twice"):
        second.create_trust("ecdsa-p256", 3650, NOW)
    assert Store.open(path, "prod").trust().encryption_key == trust.encryption_key


def test_modes_under_umask_000(path):
    before = os.umask(0)
    try:
        store = Store.open(path, "prod")
        store.create_trust("ecdsa-p256", 3650, NOW)
        with store.lock("up"):
            pass
    finally:
        os.umask(before)
    assert (mode(path.parent), mode(path)) == (0o700, 0o700)
    files = [*path.iterdir(), path.parent / ".gitignore"]
    assert {file.name for file in files} == {"trust.json", "lock", ".gitignore"}
    assert {mode(file) for file in files} == {0o600}


def test_git_ignores_the_state(path, made, tmp_path):
    assert (path.parent / ".gitignore").read_text() == "*\n"
    elsewhere = tmp_path / "elsewhere"
    Store.open(elsewhere, "prod").create_trust("ecdsa-p256", 3650, NOW)
    assert (elsewhere / ".gitignore").read_text() == "*\n"


def test_an_open_folder_is_refused(path, made):
    path.chmod(0o750)
    with pytest.raises(StoreError, match="others") as caught:
        Store.open(path, "prod")
    assert caught.value.found == "mode 0750"


def test_an_open_key_file_is_refused(path, made):
    (path / "trust.json").chmod(0o644)
    with pytest.raises(StoreError, match="others"):
        Store.open(path, "prod")


def test_somebody_elses_folder_is_refused(path, made, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: path.stat().st_uid + 1)
    with pytest.raises(StoreError, match="another user"):
        Store.open(path, "prod")


def test_another_clusters_folder_is_refused(path, made):
    with pytest.raises(StoreError, match="another cluster") as caught:
        Store.open(path, "test")
    assert (caught.value.found, caught.value.needed) == ("prod", "test")


def killed_at(step: int, work: Callable[[], object]) -> bool:
    """Do the work in a process that is killed before its `step`-th change to the file system; False: it was done."""
    child = os.fork()
    if child == 0:
        try:
            left = itertools.count(step, -1)
            for name in ("open", "mkdir", "chmod", "fchmod", "fsync", "link", "rename", "unlink"):
                really = getattr(os, name)

                def call(*args, really=really, **more):
                    if next(left) == 0:
                        os.kill(os.getpid(), signal.SIGKILL)
                    return really(*args, **more)

                setattr(os, name, call)
            work()
            os._exit(0)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


def test_a_crash_at_any_moment_leaves_all_keys_or_none(tmp_path):
    outcomes = []
    for step in itertools.count():
        path = tmp_path / str(step) / ".kprov" / "prod"
        if not killed_at(step, lambda: Store.open(path, "prod").create_trust("ecdsa-p256", 3650, NOW)):  # noqa: B023
            break
        store = Store.open(path, "prod")
        outcomes.append(store.exists)
        if store.exists:
            assert set(store.trust().bundle) == set(AUTHORITIES)
            store.change_passphrase(None)
        else:
            store.create_trust("ecdsa-p256", 3650, NOW)
        assert {file.name for file in path.iterdir()} == {"trust.json"}
    assert len(outcomes) > 15, "the work was killed before each of its changes"
    assert outcomes == sorted(outcomes), "once the keys are there, they stay"
    assert True in outcomes
    assert False in outcomes


def test_a_crash_while_the_passphrase_changes_loses_no_key(path, made):
    before = made.trust().encryption_key
    outcomes = set()
    for step in itertools.count():
        if not killed_at(step, lambda: Store.open(path, "prod").change_passphrase(None)):
            break
        outcomes.add(Store.open(path, "prod").trust().encryption_key == before)
    assert step > 5
    assert outcomes == {True}


def test_a_full_disk_is_told_and_leaves_nothing(path, monkeypatch):
    def full(*_args, **_more):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(kprov.state.private.os, "link", full)
    with pytest.raises(StoreError, match="cannot be written") as caught:
        Store.open(path, "prod").create_trust("ecdsa-p256", 3650, NOW)
    assert caught.value.found == "No space left on device"
    assert list(path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b'{"format": 1}', b'{"format": 1, "cluster": 5}'])
def test_a_damaged_file_is_told_and_not_replaced(path, made, content):
    (path / "trust.json").write_bytes(content)
    with pytest.raises(StoreError, match=r"damaged|unknown format"):
        Store.open(path, "prod")
    assert (path / "trust.json").read_bytes() == content


def test_a_damaged_certificate_is_told(path, made):
    text = (path / "trust.json").read_text()
    (path / "trust.json").write_text(text.replace("CERTIFICATE-----\\nMII", "CERTIFICATE-----\\nQQQ", 1))
    assert (path / "trust.json").read_text() != text
    with pytest.raises(StoreError, match="damaged"):
        Store.open(path, "prod")


def test_a_format_of_the_future_is_told(path, made):
    document = json.loads((path / "trust.json").read_text())
    (path / "trust.json").write_text(json.dumps({**document, "format": 4}))
    with pytest.raises(StoreError, match="unknown format"):
        Store.open(path, "prod")


@pytest.fixture(scope="module")
def vault_content(tmp_path_factory):
    path = tmp_path_factory.mktemp("vault")
    Store.open(path, "prod", PASSPHRASE).create_trust("ecdsa-p256", 3650, NOW)
    return (path / "trust.json").read_bytes()


@pytest.fixture
def vault(path, vault_content):
    path.mkdir(parents=True, mode=0o700)
    (path / "trust.json").touch(mode=0o600)
    (path / "trust.json").write_bytes(vault_content)
    return path


def test_vault_round_trip_and_no_key_in_the_file(vault):
    store = Store.open(vault, "prod", PASSPHRASE)
    trust = store.trust()
    text = (vault / "trust.json").read_text()
    assert Store.is_sealed(vault)
    assert "PRIVATE" not in text
    assert b64encode(trust.encryption_key).decode() not in text
    pem = store.authority("etcd").issue(leaf(authority="etcd"), NOW).cert_pem
    assert why_reissue(pem, leaf(authority="etcd"), trust.issuer["etcd"], NOW) is None


def test_the_public_part_needs_no_passphrase(vault):
    store = Store.open(vault, "prod")
    assert store.exists
    assert set(store.fingerprints()) == set(store.ca) == set(AUTHORITIES)
    assert len(store.cluster_id) == 32


def test_keys_of_a_vault_need_the_passphrase(vault):
    with pytest.raises(StoreError, match="no passphrase was given") as caught:
        Store.open(vault, "prod").trust()
    for way in ("--passphrase-file", "KPROV_PASSPHRASE", "terminal"):
        assert way in caught.value.todo


def test_a_wrong_passphrase_is_told_and_shows_nothing(vault):
    with pytest.raises(StoreError, match="passphrase is wrong") as caught:
        Store.open(vault, "prod", WRONG).trust()
    shown = "".join(traceback.TracebackException.from_exception(caught.value, capture_locals=True).format())
    assert "canary" not in shown
    assert "PRIVATE" not in shown


def test_a_public_part_that_was_exchanged_is_noticed(vault, made_elsewhere):
    document = json.loads((vault / "trust.json").read_text())
    document["authorities"]["etcd"] = made_elsewhere.ca["etcd"].decode()
    (vault / "trust.json").write_text(json.dumps(document))
    with pytest.raises(StoreError, match="file was changed"):
        Store.open(vault, "prod", PASSPHRASE).trust()


@pytest.fixture
def made_elsewhere(tmp_path):
    store = Store.open(tmp_path / "other", "prod")
    store.create_trust("ecdsa-p256", 3650, NOW)
    return store


def test_empty_passphrase_is_refused(path):
    with pytest.raises(StoreError, match="empty"):
        Store.open(path, "prod", Secret(""))
    assert not path.exists()


def test_a_passphrase_for_unencrypted_keys_is_told(path, made):
    with pytest.raises(StoreError, match="not encrypted"):
        Store.open(path, "prod", PASSPHRASE)


def test_a_passphrase_can_be_set_and_taken_away_without_changing_a_key(path, made):
    before = made.trust().encryption_key
    made.change_passphrase(PASSPHRASE)
    assert "PRIVATE" not in (path / "trust.json").read_text()
    sealed = Store.open(path, "prod", PASSPHRASE)
    assert sealed.trust().encryption_key == before
    sealed.change_passphrase(None)
    assert Store.open(path, "prod").trust().encryption_key == before


def test_nothing_secret_in_what_is_shown(made):
    trust = made.trust()
    canary = trust.service_account_key.decode().splitlines()[1]
    for shown in (repr(made), str(made), repr(trust), str(trust), repr(made.authority("etcd")), f"{made}"):
        assert canary not in shown
        assert "PRIVATE" not in shown
        assert repr(trust.encryption_key) not in shown


def test_the_lock_names_its_holder_and_since_when(path, made):
    with made.lock("kprov up"):
        with pytest.raises(LockedError) as caught, Store.open(path, "prod").lock("kprov down"):
            pytest.fail("both have the lock")
        assert "kprov up" in caught.value.found
        assert f"process {os.getpid()}" in caught.value.found
        assert "since 20" in caught.value.found
    with Store.open(path, "prod").lock("kprov down"):
        pass


def test_the_lock_ends_when_the_run_fails(path, made):
    with pytest.raises(ZeroDivisionError), made.lock("kprov up"):
        raise ZeroDivisionError
    with made.lock("kprov up"):
        pass


def test_the_lock_of_a_killed_process_is_free(path):
    program = (
        "import os, signal, sys, pathlib; from kprov.state.store import Store\n"
        "with Store.open(pathlib.Path(sys.argv[1]), 'prod').lock('victim'): os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", program, str(path)], check=False)
    assert done.returncode == -9
    assert "victim" in (path / "lock").read_text()
    with Store.open(path, "prod").lock("next"):
        pass


def test_a_lock_that_is_a_link_is_refused(path, made, tmp_path):
    (tmp_path / "target").write_text("theirs")
    (path / "lock").symlink_to(tmp_path / "target")
    with pytest.raises(StoreError, match="lock cannot be made"), made.lock("kprov up"):
        pytest.fail("the lock followed a link")
    assert (tmp_path / "target").read_text() == "theirs"


def test_what_objects_are_encrypted_by_is_kept_with_the_keys_and_sealed_like_them(tmp_path: Path) -> None:
    made = Store.open(tmp_path / "s", "prod", Secret("horse battery"))
    made.create_trust("ecdsa-p256", 10, NOW)
    assert made.trust().encrypted_by == ""
    key = made.trust().encryption_key
    made.keep_encryption('{"secret": "S0VZ"}')
    again = Store.open(tmp_path / "s", "prod", Secret("horse battery")).trust()
    assert (again.encrypted_by, again.encryption_key) == ('{"secret": "S0VZ"}', key)
    assert "S0VZ" not in (tmp_path / "s" / "trust.json").read_text()
    assert "S0VZ" not in repr(again)
