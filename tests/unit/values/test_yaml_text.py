"""What Kubernetes' reader of YAML would take for something else stands in quotes, and nothing else does."""

from __future__ import annotations

import pytest
import yaml

from kprov.values.yaml_text import dump, dump_all


@pytest.mark.parametrize("text", ["n", "N", "y", "Y", "1e3", "12e4567", "-1E+3", "1.5e3", ".5", "0o17", "0x1F", "-0b1"])
def test_a_text_that_looks_like_something_else_is_quoted(text: str) -> None:
    assert dump({"key": text}) == f"key: '{text}'\n"
    assert dump({text: "value"}) == f"'{text}': value\n"
    assert yaml.safe_load(dump([text])) == [text]


@pytest.mark.parametrize(
    "text", ["no-one", "v1.2.3", "1.2.3", "10.96.0.10", "100m", "64Mi", "e3", "0o", "yes-man", "1-2"]
)
def test_other_texts_are_not(text: str) -> None:
    assert dump({"key": text}) == f"key: {text}\n"


def test_switches_numbers_and_several_documents_stay_what_they_are() -> None:
    documents = [{"a": True, "b": 1, "c": 1.5, "d": None}, {"e": [1]}]
    assert list(yaml.safe_load_all(dump_all(documents))) == documents
