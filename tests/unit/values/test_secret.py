"""Secrets by type: nothing shows them, and they are found wherever they stand."""

from __future__ import annotations

import json
import pickle
import traceback
from dataclasses import asdict, dataclass

import pytest

from kprov.inventory.keys import reference_names
from kprov.inventory.schema import Inventory
from kprov.values.secret import Secret, secrets_in

TEXT = "hunter2"


@dataclass(frozen=True)
class Holder:
    inner: object
    name: str = "x"


def test_no_text_of_it_shows_a_secret() -> None:
    secret = Secret(TEXT)
    shown = (
        repr(secret),
        str(secret),
        f"{secret}",
        f"{secret!r:>40}",
        "{}: {}".format("password", secret),
        repr([secret]),
        repr(Holder(secret)),
    )
    assert not any(TEXT in text for text in shown)
    assert secret.reveal() == TEXT


def test_it_is_no_text_that_could_be_written_somewhere() -> None:
    with pytest.raises(TypeError) as caught:
        json.dumps({"password": Secret(TEXT)})
    assert TEXT not in "".join(traceback.format_exception(caught.value))
    with pytest.raises(TypeError):
        "".join([Secret(TEXT)])  # type: ignore[list-item]
    with pytest.raises(TypeError, match="is not written"):
        pickle.dumps(Secret(TEXT))
    assert TEXT not in str(asdict(Holder(Secret(TEXT))))
    with pytest.raises(AttributeError):
        Secret(TEXT)._text = "other"  # type: ignore[misc]


def test_secrets_are_equal_by_their_text_and_empty_without_one() -> None:
    assert Secret(TEXT) == Secret(TEXT) != Secret("other")
    assert (bool(Secret(TEXT)), bool(Secret(""))) == (True, False)
    assert Secret(TEXT) != TEXT


def test_they_are_found_in_fields_mappings_and_sequences() -> None:
    value = Holder({"a": (Secret("1"), Holder(Secret("2"))), "b": [Secret("3")], "c": "4"})
    assert [secret.reveal() for secret in secrets_in(value)] == ["1", "2", "3"]


def test_keys_of_the_inventory_that_name_secrets_follow_from_their_type() -> None:
    assert reference_names(Inventory) == {"password", "become_password"}
