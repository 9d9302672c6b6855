"""Checks of your own, in testinfra's words. `host` is each machine, `fleet` the cluster: fixtures of kprov's."""

import pytest


def test_time_zone_is_utc(host):
    assert host.check_output("date +%Z") == "UTC"


@pytest.mark.on("node")
def test_a_node_has_room(host):
    assert int(host.check_output("df --output=avail -m /var/lib | tail -n 1")) > 1024


def test_both_machines_are_nodes(fleet):
    assert len(fleet.nodes) == 2
