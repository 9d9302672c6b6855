"""Which machines of a lab are virtual ones, by the words of the command line; makes none."""

from __future__ import annotations

import pytest

from kprov.cli.lab import specs, with_vms
from kprov.lab.layout import VmSize
from kprov.values.errors import LabError

SIZE = VmSize(memory=2000)


def kinds(names: tuple[str, ...] | None) -> dict[str, VmSize | None]:
    return {spec.name: spec.vm for spec in with_vms(specs(1, 2, 0), names, SIZE)}


def test_machines_are_containers_unless_they_are_named() -> None:
    assert kinds(()) == {"cp1": None, "w1": None, "w2": None}
    assert kinds(("w1",)) == {"cp1": None, "w1": SIZE, "w2": None}


def test_all_machines_may_be_virtual_ones() -> None:
    assert set(kinds(None).values()) == {SIZE}


def test_a_virtual_machine_that_the_lab_does_not_have_is_refused() -> None:
    with pytest.raises(LabError) as caught:
        kinds(("w1", "w7"))
    assert (caught.value.found, caught.value.needed) == ("w7", "of cp1, w1, w2")
