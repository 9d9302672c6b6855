"""The vault opens with its passphrase and its header, and with nothing else."""

from __future__ import annotations

import traceback

import pytest

from kprov.state.vault import seal, unseal
from kprov.values.errors import StoreError
from kprov.values.secret import Secret

PASSPHRASE = Secret("correct horse")
WRONG = Secret("hunter2-canary")
SEALED = seal(b"the content", b"header", PASSPHRASE)


def test_round_trip():
    assert unseal(SEALED, b"header", PASSPHRASE) == b"the content"


def test_salt_and_nonce_are_fresh_for_every_write():
    again = seal(b"the content", b"header", PASSPHRASE)
    assert SEALED[0] == again[0] == 1
    assert SEALED[1:17] != again[1:17]
    assert SEALED[17:29] != again[17:29]
    assert SEALED[29:] != again[29:]
    assert b"content" not in SEALED
    assert len(SEALED) == 1 + 16 + 12 + len(b"the content") + 16


@pytest.mark.parametrize("position", [1, 17, 29, -1], ids=str)
def test_any_changed_byte_is_noticed(position):
    changed = bytearray(SEALED)
    changed[position] ^= 1
    with pytest.raises(StoreError, match="does not open"):
        unseal(bytes(changed), b"header", PASSPHRASE)


def test_a_changed_header_is_noticed():
    with pytest.raises(StoreError, match="does not open"):
        unseal(SEALED, b"Header", PASSPHRASE)


@pytest.mark.parametrize(
    ("sealed", "message"),
    [(b"", "unknown version"), (b"\x02" + SEALED[1:], "unknown version"), (SEALED[:40], "cut short")],
    ids=["nothing", "another version", "cut short"],
)
def test_what_is_no_vault_is_refused_without_work(sealed, message):
    with pytest.raises(StoreError, match=message):
        unseal(sealed, b"header", PASSPHRASE)


@pytest.mark.parametrize("empty", ["", " ", "\n", "\t \n"])
def test_an_empty_passphrase_is_refused(empty):
    with pytest.raises(StoreError, match="empty"):
        seal(b"content", b"", Secret(empty))
    with pytest.raises(StoreError, match="empty"):
        unseal(SEALED, b"header", Secret(empty))


def test_a_wrong_passphrase_shows_neither_itself_nor_the_content():
    with pytest.raises(StoreError) as caught:
        unseal(SEALED, b"header", WRONG)
    shown = "".join(traceback.TracebackException.from_exception(caught.value, capture_locals=True).format())
    assert "passphrase is wrong" in shown
    assert "canary" not in shown
