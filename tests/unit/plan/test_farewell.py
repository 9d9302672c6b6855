"""Which node and member of a host that leaves are there to be removed, by whom, and when nobody can say."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address
from typing import Any

import pytest
from observed import bare, record
from pki_cases import cluster, host

from kprov.observe.observation import EtcdMember, EtcdView, Observation
from kprov.plan.farewell import Farewell, farewells
from kprov.plan.questions import leaving_questions
from kprov.values.errors import KprovError
from kprov.values.model import Cluster

CONTROL = ("etcd", "control_plane")
NAMES = ("cp1", "cp2", "cp3", "w1")


def four() -> Cluster:
    controls = [
        host(f"cp{number}", CONTROL, f"10.0.0.1{number}", node_ip=IPv4Address(f"10.0.0.1{number}"))
        for number in (1, 2, 3)
    ]
    return cluster(*controls, host("w1", ("worker",), "10.0.0.21"), host("w2", ("worker",), "10.0.0.22"))


def member(number: int, *, name: str | None = None, learner: bool = False) -> EtcdMember:
    return EtcdMember(
        id=f"{number}a",
        name=f"cp{number}" if name is None else name,
        peer_urls=(f"https://10.0.0.1{number}:2380",),
        learner=learner,
    )


MEMBERS = tuple(map(member, (1, 2, 3)))


def nodes(*names: str) -> tuple[dict[str, Any], ...]:
    return tuple({"kind": "Node", "metadata": {"name": name}} for name in names)


def fleet(live: tuple[dict[str, Any], ...] | None = None, **changes: Observation) -> dict[str, Observation]:
    """Everybody answers; the control planes list these nodes and all three members."""
    seen = dict([record("unit", "kubelet.service")])
    whole = replace(bare(), records=seen, objects=live, etcd=EtcdView(members=MEMBERS))
    return {**dict.fromkeys((*NAMES[:3], "w1", "w2"), whole), **changes}


def test_a_worker_is_drained_and_a_member_removed_by_one_that_stays() -> None:
    (worker,) = farewells(four(), fleet(nodes("w1", "w2")), ["w1"])
    assert worker == Farewell(host="w1", peer="cp1", node="w1", member="", endpoints=())
    (server,) = farewells(four(), fleet(nodes("cp1")), ["cp1"])
    assert server == Farewell(
        host="cp1",
        peer="cp2",
        node="cp1" if four().host("cp1").is_node else "",
        member="1a",
        endpoints=("https://10.0.0.12:2379", "https://10.0.0.13:2379"),
    )


def test_of_a_host_of_which_nothing_is_left_in_the_cluster_nothing_is_said() -> None:
    """As after a run that was cut off between the node and the host."""
    assert farewells(four(), fleet(nodes("w2")), ["w1"]) == ()


def test_a_node_that_is_left_of_a_host_that_was_installed_anew_goes() -> None:
    assert farewells(four(), fleet(nodes("w1"), w1=bare()), ["w1"])


def test_the_whole_cluster_says_farewell_to_nobody() -> None:
    assert farewells(four(), fleet(None), [host.name for host in four().hosts]) == ()


def test_the_control_plane_whose_api_server_answers_is_asked() -> None:
    silent = replace(bare(), objects=None, objects_error="connection refused")
    (worker,) = farewells(four(), fleet(nodes("w1"), cp1=silent, cp2=silent), ["w1"])
    assert worker.peer == "cp3"


def test_a_node_that_nobody_can_be_asked_for_stops_the_run_before_it() -> None:
    with pytest.raises(KprovError, match="no API server"):
        farewells(four(), fleet(None), ["w1"])
    with pytest.raises(KprovError, match="no control plane would be left"):
        farewells(four(), fleet(nodes("w1")), ["cp1", "cp2", "cp3", "w1"])


@pytest.mark.parametrize("name", ["cp1", "w1"])
def test_members_that_nobody_can_be_asked_for_stop_only_a_host_that_has_one(name: str) -> None:
    mute = {host: replace(seen, etcd=EtcdView()) for host, seen in fleet(nodes(name)).items()}
    if name == "w1":
        assert farewells(four(), mute, [name])[0].member == ""
        return
    with pytest.raises(KprovError, match="no etcd member could be asked"):
        farewells(four(), mute, [name])


def test_a_member_that_was_cut_off_is_not_believed_before_those_that_stay() -> None:
    stale = replace(bare(), objects=nodes("cp1"), etcd=EtcdView(members=(member(1), member(2))))
    (server,) = farewells(four(), fleet(nodes("cp1"), cp1=stale), ["cp1"])
    assert len(server.endpoints) == 2


def test_a_member_that_never_started_is_known_by_its_url() -> None:
    joining = EtcdView(members=(member(1), member(2), member(3, name="", learner=True)))
    seen = {name: replace(one, etcd=joining) for name, one in fleet(nodes()).items()}
    assert farewells(four(), seen, ["cp3"])[0].member == "3a"


def test_learners_do_not_count_as_members_that_stay() -> None:
    view = EtcdView(members=(member(1), member(2, learner=True)))
    seen = {name: replace(one, etcd=view) for name, one in fleet(nodes("cp1")).items()}
    with pytest.raises(KprovError, match="no etcd member would be left"):
        farewells(four(), seen, ["cp1"])


def test_every_control_plane_that_stays_is_asked_for_the_nodes_that_leave_and_no_other_host() -> None:
    asked = leaving_questions(four(), lambda: b"credential", ["cp2", "w1"])
    assert set(asked) == {"cp1", "cp3"}
    assert asked["cp1"].selector == "kubernetes.io/hostname in (cp2,w1)"
    assert asked["cp1"].kinds == "node"
