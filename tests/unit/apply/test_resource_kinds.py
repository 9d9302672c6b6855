"""Every kind of resource in every place that has a rule for each: a kind that is added halfway fails here by name.

Where a rule is a `match`, mypy names what is missing; here are the tables that go by a resource's class or kind.
"""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest
from observed import bare

from kprov.apply import down
from kprov.apply.batch import Batch
from kprov.apply.operations import _ORDER, _REMOVAL_ORDER, write_removal
from kprov.observe import scripts as observe_scripts
from kprov.observe.observation import Record
from kprov.plan.desired import record_keys
from kprov.values.certificate import CertificateSpec
from kprov.values.resources import (
    Artifact,
    Binary,
    Certificate,
    Directory,
    File,
    Image,
    KernelModule,
    Package,
    Resource,
    SwapOff,
    Sysctl,
    Unit,
    User,
)

ARTIFACT = Artifact(name="a", version="1", arch="amd64", sha256="0" * 64, size=1, local="a", reference="a:1")
SPEC = CertificateSpec(name="a", authority="kubernetes", common_name="a")
ONE_OF_EACH: tuple[Resource, ...] = (
    File(path="/a/file", content=b""),
    Directory(path="/a"),
    Binary(path="/a/binary", artifact=ARTIFACT),
    Image(reference="a:1", artifact=ARTIFACT),
    Certificate(path="/a/a.crt", key_path="/a/a.key", spec=SPEC),
    Unit(name="a.service", content=b""),
    Sysctl(name="a.b", value="1"),
    KernelModule(name="a"),
    User(name="a"),
    Package(name="a", command="a"),
    SwapOff(),
)
KINDS = sorted({kind for resource in ONE_OF_EACH for kind, _ in record_keys(resource)})


def test_there_is_one_of_each_kind() -> None:
    assert {type(resource) for resource in ONE_OF_EACH} == set(get_args(Resource))


def test_each_kind_has_its_place_in_the_order_of_changes() -> None:
    """Images come last, when the runtime that keeps them runs."""
    assert set(_ORDER) | {Image} == set(get_args(Resource))


def test_each_kind_goes_in_an_order() -> None:
    assert sorted(_REMOVAL_ORDER) == KINDS


def test_down_takes_every_kind_away() -> None:
    assert sorted({*down._KINDS, "unit"}) == KINDS


@pytest.mark.parametrize("resource", ONE_OF_EACH, ids=lambda resource: type(resource).__name__)
def test_what_is_recorded_can_be_removed(resource: Resource) -> None:
    for key in record_keys(resource):
        record = Record(kind=key[0], name=key[1], value="-", stat="-", before="absent")
        seen = replace(bare(), records={key: record})
        batch = Batch()
        write_removal(batch, key, seen)
        assert [step.title for step in batch.steps] == [f"{key[0]} {key[1]}"]


def test_each_kind_can_be_asked_about() -> None:
    """Kinds that are files are asked for by their path; the probe sorts all others by their name."""
    probe = observe_scripts.text().decode()
    sorting = probe[probe.index("sort_out()") : probe.index("asked()")]
    told_by_facts = {"package", "swap"}
    for kind in set(KINDS) - told_by_facts:
        assert kind in sorting, f"the probe does not look at a {kind}"
