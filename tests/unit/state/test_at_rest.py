"""What an API server encrypted opens with the keys that encrypted it, and with no other one."""

from __future__ import annotations

import json
import os
from base64 import b64encode
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from nacl.secret import SecretBox

from kprov.state.at_rest import opens, readers

OWN, OTHER = b"k" * 32, b"o" * 32
PATH = "/registry/secrets/default/one"
OBJECT = b"k8s\x00an object"


def document(provider: str, key: bytes) -> str:
    given: dict[str, Any] = {provider: {"keys": [{"name": "key2", "secret": b64encode(key).decode()}]}}
    own = {"secretbox": {"keys": [{"name": "key1", "secret": b64encode(OWN).decode()}]}}
    return json.dumps({"resources": [{"resources": ["secrets"], "providers": [given, own, {"identity": {}}]}]})


def sealed(provider: str, key: bytes, name: str = "key2") -> bytes:
    nonce = os.urandom(12)
    encryptor = Cipher(AES(key), CBC(nonce + b"1234")).encryptor()
    padded = OBJECT + bytes([16 - len(OBJECT) % 16]) * (16 - len(OBJECT) % 16)
    content = {
        "secretbox": bytes(SecretBox(key).encrypt(OBJECT)),
        "aesgcm": nonce + AESGCM(key).encrypt(nonce, OBJECT, PATH.encode()),
        "aescbc": nonce + b"1234" + encryptor.update(padded) + encryptor.finalize(),
    }[provider]
    return f"k8s:enc:{provider}:v1:{name}:".encode() + content


@pytest.mark.parametrize("provider", ["secretbox", "aesgcm", "aescbc"])
def test_each_provider_opens_with_its_key_and_not_with_another(provider: str) -> None:
    assert opens(PATH, sealed(provider, OTHER), readers(document(provider, OTHER), OWN))
    assert not opens(PATH, sealed(provider, OTHER), readers(document(provider, b"x" * 32), OWN))
    assert not opens(PATH, sealed(provider, OTHER, "key9"), readers(document(provider, OTHER), OWN))
    assert not opens(PATH, sealed(provider, OTHER)[:50], readers(document(provider, OTHER), OWN))
    assert opens(PATH, sealed("secretbox", OWN, "key1"), readers(document(provider, OTHER), OWN))


def test_what_aesgcm_wrote_for_another_object_does_not_open() -> None:
    assert not opens("/registry/secrets/default/two", sealed("aesgcm", OTHER), readers(document("aesgcm", OTHER), OWN))


def test_without_a_document_kprovs_own_key_opens() -> None:
    assert opens(PATH, sealed("secretbox", OWN, "key1"), readers("", OWN))
    assert not opens(PATH, sealed("secretbox", OWN, "key1"), readers("", OTHER))
    assert not opens(PATH, sealed("secretbox", OWN, "key1"), readers("", b"short"))
    assert opens(PATH, OBJECT, readers("", OWN))
    assert not opens(PATH, b"noise", readers("", OWN))
    assert not opens(PATH, b"k8s:enc:secretbox", readers("", OWN))


def test_what_a_kms_encrypted_is_for_the_kms_to_tell() -> None:
    known = readers(
        json.dumps({"resources": [{"resources": ["secrets"], "providers": [{"kms": {"name": "vault"}}]}]}), OWN
    )
    assert opens(PATH, b"k8s:enc:kms:v2:vault:anything", known)
    assert not opens(PATH, b"k8s:enc:kms:v2:another:anything", known)
