"""What is sent to a host that leaves: of kprov's own alone, in an order that a run cut off in between can go on from."""

from __future__ import annotations

from dataclasses import replace

import pytest
from observed import bare, record
from sent import heads

from kprov.apply import wire
from kprov.apply.batch import Batch
from kprov.apply.down import host_batch
from kprov.values.resources import Key
from kprov.values.runtimes import RUNTIMES

_PROGRAMS = {program for runtime in RUNTIMES.values() for program in runtime.programs}
# Whatever may be recorded of any runtime without one of its units ever having been started by kprov.
_UNSTARTED: list[Key] = [
    *(("binary", f"/opt/kprov/bin/{program}") for program in sorted(_PROGRAMS)),
    *(("directory", folder) for runtime in RUNTIMES.values() for folder in runtime.folders),
    *(("file", f"/etc/systemd/system/{unit}") for runtime in RUNTIMES.values() for unit in runtime.units),
    ("directory", "/opt/kprov/bin"),
    ("unit", "kubelet.service"),
]


def batch(*keys: Key) -> Batch:
    return host_batch(replace(bare(), records=dict(record(*key) for key in keys)))


_REACHING = ("sandboxes", "unmount", "clear", "stop", "remove_unit")


def spoken_to(sent: Batch) -> set[tuple[object, ...]]:
    """Operations that reach beyond what is recorded by name: sockets, mounts, folders of /run."""
    return {head for head in heads(sent.operations) if head[0] in _REACHING}


def test_nothing_is_sent_where_nothing_is_recorded() -> None:
    assert not batch().operations


@pytest.mark.parametrize("name", RUNTIMES)
def test_only_a_runtime_whose_unit_kprov_recorded_is_spoken_to(name: str) -> None:
    """Docker beside kprov's containerd uses programs of the same names; its socket, data and mounts are its own."""
    own = RUNTIMES[name]
    units: list[Key] = [("unit", unit) for unit in own.units]
    sent = spoken_to(batch(*_UNSTARTED, *units))
    assert sent == {
        ("sandboxes", own.store),
        ("unmount", "/var/lib/kubelet"),
        *(("unmount", path) for path in own.mounted),
        *(("clear", path) for path in own.run),
        *(("stop", unit) for unit in own.units),
        *(("remove_unit", unit) for unit in own.units),
        ("remove_unit", "kubelet.service"),
    }


@pytest.mark.parametrize("name", RUNTIMES)
def test_tables_of_a_runtime_that_kprov_ran_go(name: str) -> None:
    units: list[Key] = [("unit", unit) for unit in RUNTIMES[name].units]
    dropped = [operation for operation in batch(*units).operations if isinstance(operation, wire.DropTable)]
    tables = {(table.family, table.name) for table in dropped}
    assert tables == set(RUNTIMES[name].tables)
    assert RUNTIMES["crio"].tables == (("ip", "crio-hostports"), ("ip6", "crio-hostports"))


def test_programs_files_and_folders_of_a_runtime_do_not_make_it_kprovs() -> None:
    assert spoken_to(batch(*_UNSTARTED)) == {("unmount", "/var/lib/kubelet"), ("remove_unit", "kubelet.service")}


def test_no_unit_name_stands_for_two_runtimes() -> None:
    units = [unit for runtime in RUNTIMES.values() for unit in runtime.units]
    assert len(units) == len(set(units))


def test_a_runtime_is_forgotten_after_all_that_is_known_by_it_is_gone() -> None:
    sent = heads(batch(("unit", "containerd.service"), ("image", "p:1")).operations)
    order = [
        ("sandboxes", "/run/containerd/containerd.sock"),
        ("unmount", "/run/containerd"),
        ("remove_image", "p:1"),
        ("stop", "containerd.service"),
        ("clear", "/run/containerd"),
        ("remove_unit", "containerd.service"),
    ]
    places = [sent.index(entry) for entry in order]
    assert places == sorted(places)


def test_a_foreign_unit_of_the_same_name_comes_back_when_its_file_has_and_systemd_knows() -> None:
    path = "/etc/systemd/system/containerd.service"
    records = [
        record("unit", "containerd.service", before="present enabled active"),
        record("unit", "kubelet.service"),
        record("unit", "old.service", before="enabled"),  # an older kprov's word, which says too little
        record("file", path, before="saved"),
    ]
    sent = heads(host_batch(replace(bare(), records=dict(records))).operations)
    given = [operation for operation in sent if operation[0] == "give_back_unit"]
    assert given == [("give_back_unit", "containerd.service")]
    order = [("remove", "file"), ("reload_units", ()), *given, ("state_gone",)]
    assert [sent.index(entry) for entry in order] == sorted(sent.index(entry) for entry in order)
