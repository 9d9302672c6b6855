"""When kubelet's next settings leave its pods less room: it would end those that do not fit any more."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from observed import FACTS

from kprov.plan.kubelet_room import less_room

GIB = 2**30
HOST = replace(FACTS, cpus=4, memory=8 * GIB, disk_size={"/var/lib/kubelet": 100 * GIB})
OWN = {
    "maxPods": 50,
    "kubeReserved": {"cpu": "100m", "memory": "500Mi"},
    "systemReserved": {"cpu": "100m", "memory": "1Gi"},
    "evictionHard": {"memory.available": "200Mi", "nodefs.available": "10%"},
}


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"maxPods": 49}, "49 pods instead of 50"),
        ({"podsPerCore": 10}, "40 pods instead of 50"),
        ({"kubeReserved": {"cpu": "101m", "memory": "500Mi"}}, "less cpu"),
        ({"systemReserved": {"cpu": 1, "memory": "2Gi"}}, "less cpu, less memory"),
        ({"systemReserved": {"cpu": "100m", "memory": "1Gi", "pid": "1000"}}, "less pid"),
        ({"kubeReserved": {"cpu": "100m", "memory": "500Mi", "ephemeral-storage": "1Gi"}}, "less ephemeral-storage"),
        ({"evictionHard": {"memory.available": "5%", "nodefs.available": "10%"}}, "less memory"),  # 410 MiB of 8 GiB
        ({"evictionHard": {"memory.available": "200Mi", "nodefs.available": "11Gi"}}, "less ephemeral-storage"),
        ({"reservedSystemCPUs": "0-1"}, "less cpu"),
        ({"maxPods": 20, "reservedSystemCPUs": "3"}, "20 pods instead of 50, less cpu"),
    ],
)
def test_what_there_is_less_of_is_told(changed: dict[str, Any], told: str) -> None:
    assert less_room(OWN, OWN | changed, HOST) == told
    assert less_room(OWN | changed, OWN, HOST) == ""  # there is more


@pytest.mark.parametrize(
    "changed",
    [
        {"maxPods": 60, "kubeReserved": {}, "evictionHard": {}},
        {
            "kubeReserved": {"cpu": "150m", "memory": "1Gi"},
            "systemReserved": {"cpu": "50m", "memory": "500Mi"},
        },  # the same
        {"evictionHard": {"memory.available": "2%", "nodefs.available": "10Gi"}},
        {"evictionSoft": {"memory.available": "4Gi"}, "imageMinimumGCAge": "1h"},
        {"kubeReserved": {"cpu": "much", "memory": "500Mi"}},  # which kubelet refuses by itself
        {},
    ],
)
def test_other_changes_leave_the_room_there_is(changed: dict[str, Any]) -> None:
    assert less_room(OWN, OWN | changed, HOST) == ""


def test_a_share_of_the_disk_is_of_the_folder_above_where_kubelet_has_none_of_its_own() -> None:
    above = replace(HOST, disk_size={"/var/lib": 100 * GIB})
    more = OWN | {"evictionHard": {"memory.available": "200Mi", "nodefs.available": "20%"}}
    assert less_room(OWN, more, above) == "less ephemeral-storage"


def test_kubelets_own_number_of_pods_counts_where_none_is_written() -> None:
    assert less_room({}, {"maxPods": 100}, HOST) == "100 pods instead of 110"
    assert less_room({"maxPods": 250}, {}, HOST) == "110 pods instead of 250"
