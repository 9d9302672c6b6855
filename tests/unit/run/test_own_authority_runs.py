"""What a run refuses of CAs that are the user's own, with the line of the inventory and the command that leads."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
from inventory_text import cluster as inventory
from inventory_text import loaded
from own_cas import Made, company

from kprov.run.own_authorities import refuse_other_authorities, refuse_short_lived
from kprov.state import rotation as machine
from kprov.state.store import Store
from kprov.values.errors import PreflightError
from kprov.values.model import Cluster

NOW = datetime.now(UTC)
CLUSTER = loaded(inventory()).cluster
PLACES = {"cluster": "i.yaml:1", "cluster.pki": "i.yaml:3", "cluster.pki.authority.etcd.certificate": "i.yaml:6"}
ONE = company(NOW)


def naming(made: Made | None) -> Cluster:
    return replace(CLUSTER, pki=replace(CLUSTER.pki, authorities={} if made is None else {"etcd": made.own}))


def opened(path: Path, cluster: Cluster) -> Store:
    return Store.open(path / cluster.name, cluster.name, own=cluster.pki.authorities)


def made(path: Path, cluster: Cluster) -> Store:
    store = opened(path, cluster)
    store.create_trust("ecdsa-p256", 3650, NOW)
    return opened(path, cluster)


@pytest.mark.parametrize(("before", "after"), [(None, ONE), (ONE, None), (ONE, company(NOW))])
def test_another_ca_is_brought_by_a_rotation_alone(tmp_path: Path, before: Made | None, after: Made | None) -> None:
    refuse_other_authorities(naming(before), made(tmp_path, naming(before)), PLACES)
    with pytest.raises(
        PreflightError, match="the etcd CA of a living cluster is replaced by a rotation alone"
    ) as raised:
        refuse_other_authorities(naming(after), opened(tmp_path, naming(after)), PLACES)
    assert raised.value.where == "i.yaml:6"
    assert "`kprov certs rotate INVENTORY etcd`" in raised.value.todo


def test_where_the_key_is_gone_the_nearest_line_is_named(tmp_path: Path) -> None:
    made(tmp_path, naming(ONE))
    with pytest.raises(PreflightError) as raised:
        refuse_other_authorities(naming(None), opened(tmp_path, naming(None)), {"cluster": "i.yaml:1"})
    assert raised.value.where == "i.yaml:1"


def test_a_rotation_to_it_goes_on_and_may_be_taken_back(tmp_path: Path) -> None:
    made(tmp_path, naming(None))
    cluster = naming(ONE)
    store = opened(tmp_path, cluster)
    begin = partial(machine.begin, kinds=("etcd",), algorithm="ecdsa-p256", ca_days=3650, now=NOW, own=store.own)
    turned = store.turned(begin)
    refuse_other_authorities(cluster, turned, PLACES)
    refuse_other_authorities(naming(None), turned, PLACES)
    turned.keep()
    with pytest.raises(PreflightError, match="rotation alone") as raised:
        refuse_other_authorities(naming(company(NOW)), opened(tmp_path, naming(company(NOW))), PLACES)
    assert "--back" in raised.value.todo


def test_one_that_ends_before_what_it_would_sign_is_not_taken_over(tmp_path: Path) -> None:
    cluster = naming(company(NOW, days=200))
    for refuse in (
        lambda: refuse_other_authorities(cluster, opened(tmp_path, cluster), PLACES),
        lambda: refuse_short_lived(cluster, ["etcd"], PLACES),
    ):
        with pytest.raises(PreflightError, match="your etcd CA ends before the certificates") as raised:
            refuse()
        assert raised.value.where == "i.yaml:6"
        assert "365 days" in raised.value.needed
    refuse_short_lived(cluster, ["kubernetes"], PLACES)


def test_one_that_comes_near_its_end_goes_on_signing(tmp_path: Path) -> None:
    """Or a cluster could not be repaired in the last year of its CA."""
    cluster = naming(company(NOW, days=200))
    refuse_other_authorities(cluster, made(tmp_path, cluster), PLACES)
