"""Names, addresses and the record of a lab."""

from __future__ import annotations

import dataclasses
import json
from ipaddress import IPv4Network

import pytest
from lab_values import a_lab

from kprov.lab import layout
from kprov.lab.layout import MachineSpec
from kprov.values.errors import LabError
from kprov.values.secret import Secret


def test_addresses_follow_the_labs_number() -> None:
    lab = a_lab()
    assert lab.network == IPv4Network("10.77.7.0/24")
    assert lab.gateway == "10.77.7.1"
    assert [machine.address for machine in lab.machines] == ["10.77.7.11", "10.77.7.12"]


def test_interface_names_fit_the_kernel() -> None:
    assert len(a_lab(index=254).bridge) <= 15


def test_machine_names_fit_a_host_name_label() -> None:
    longest = "a" * 24
    layout.check_name(longest)
    assert len(layout.identity(longest, longest)) <= 63


@pytest.mark.parametrize("name", ["", "A", "1a", "a_b", "a/b", "..", "a-", "-a", "a" * 25, "a\n", "a b"])
def test_unfit_names_are_refused(name: str) -> None:
    with pytest.raises(LabError, match="not a name for a lab"):
        layout.check_name(name)
    with pytest.raises(LabError, match="not a name for a machine"):
        layout.check_machines("demo", [MachineSpec(name=name)], {})


def test_two_machines_of_one_name_are_refused() -> None:
    with pytest.raises(LabError, match="same name") as caught:
        layout.check_machines("demo", [MachineSpec(name="m1"), MachineSpec(name="m1")], {})
    assert caught.value.found == "m1"


def test_a_full_name_that_another_lab_has_is_refused() -> None:
    with pytest.raises(LabError, match="same full name"):
        layout.check_machines("a", [MachineSpec(name="b-c")], {"a-b": ["c"]})
    layout.check_machines("a", [MachineSpec(name="b-c")], {"a-b": ["d"]})


def test_a_lab_without_machines_is_refused() -> None:
    with pytest.raises(LabError, match="needs machines"):
        layout.check_machines("demo", [], {})


def test_the_lowest_free_number_is_taken() -> None:
    assert layout.free_index([], []) == 1
    assert layout.free_index([1, 3], []) == 2
    assert layout.free_index([1], [IPv4Network("10.77.2.128/25"), IPv4Network("10.77.3.0/24")]) == 4


def test_no_number_is_left_when_the_host_routes_the_whole_range() -> None:
    with pytest.raises(LabError, match="no subnet is left"):
        layout.free_index([], [IPv4Network("10.0.0.0/8")])


def test_the_record_is_the_lab_without_its_password() -> None:
    lab = dataclasses.replace(a_lab(), complete=True)
    text = json.dumps(layout.to_record(lab))
    assert "hunter2" not in text
    assert layout.from_record(json.loads(text), Secret("hunter2")) == lab


def test_a_record_of_another_format_is_refused() -> None:
    record = {**layout.to_record(a_lab()), "format": 2}
    with pytest.raises(ValueError, match="unknown format 2"):
        layout.from_record(record, Secret(""))


def test_an_unknown_machine_is_an_error_that_names_the_known_ones() -> None:
    with pytest.raises(LabError) as caught:
        a_lab().machine("w9")
    assert caught.value.needed == "one of cp1, w1"
