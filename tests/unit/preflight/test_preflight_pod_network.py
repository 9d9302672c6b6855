"""Whether hosts can carry a pod network, and whether a living one may change: each check met and not met."""

from __future__ import annotations

from typing import Any

import pytest
from test_preflight import cluster, facts, found, host, installed, the_only

from kprov.observe.observation import Observation
from kprov.preflight import Problem, check
from kprov.roles.pod_network import identity
from kprov.values.model import Facts, Interface, Listener, NetworkSettings
from kprov.values.paths import NETWORK_MODE

NODE = ("unit", "kubelet.service")
VXLAN = NetworkSettings(mode="vxlan")
NONE = NetworkSettings(mode="none")


def fit(**changes: Any) -> Facts:
    """A host that can carry a tunnel."""
    known = facts()
    return facts(
        **{"modules": known.modules | {"vxlan"}, "commands": known.commands | {"bridge"}, **changes}  # type: ignore[arg-type]
    )


def living(mode: str | None, own: Facts | None = None) -> Observation:
    """A node with this on record; None: one that an older kprov made."""
    record = ("file", NETWORK_MODE if mode is not None else "/etc/cni/net.d/10-kprov.conflist")
    return Observation(
        facts=own or fit(),
        records=installed(NODE, record),
        texts={} if mode is None else {NETWORK_MODE: f"{mode}\n".encode()},
        versions={"kubelet": "Kubernetes v1.37.2"},
    )


def test_a_host_that_is_fit_for_a_tunnel_has_no_problem() -> None:
    assert not found(fit(), cluster(network=VXLAN))
    assert not found(fit(udp_listeners=(Listener(port=68, address="*"),)), cluster(network=VXLAN))


def test_a_tunnel_needs_its_kernel_module() -> None:
    own = fit(modules=facts().modules)
    problem = the_only(found(own, cluster(network=VXLAN)), "KernelModule")
    assert problem.found.startswith("no vxlan in kernel")
    assert not found(own, cluster())
    assert not found(fit(modules=facts().modules, loadable=facts().loadable | {"vxlan"}), cluster(network=VXLAN))


def test_a_tunnel_needs_the_program_that_tells_it_its_peers() -> None:
    assert (
        "no bridge"
        in the_only(found(fit(commands=facts().commands), cluster(network=VXLAN)), "FileExisting-bridge").found
    )


@pytest.mark.parametrize(
    ("process", "shown"), [("named pid 7", "named pid 7 on *"), ("", "the kernel (another tunnel)")]
)
def test_the_tunnels_port_must_be_free(process: str, shown: str) -> None:
    taken = fit(udp_listeners=(Listener(port=4789, address="*", process=process),))
    assert shown in the_only(found(taken, cluster(network=VXLAN)), "Port-4789").found
    assert not found(taken, cluster())
    assert not found(taken, cluster(network=NetworkSettings(mode="vxlan", port=8472)))


def tunnelled() -> Facts:
    """A host with our tunnel."""
    tunnel = Interface(name="kprov-vxlan", mtu=1450, addresses=("10.244.0.1/32",))
    return fit(interfaces=(*facts().interfaces, tunnel), udp_listeners=(Listener(port=4789, address="*"),))


def test_the_port_of_our_own_tunnel_is_not_taken() -> None:
    own = tunnelled()
    assert not found(living("vxlan 4096 4789", own), cluster(network=VXLAN))
    other = found(living("vxlan 4096 8472", own), cluster(network=VXLAN))
    assert set(other) == {"Port-4789", "NetworkMode"}


def test_a_run_that_was_cut_off_or_a_lost_record_does_not_lock_our_own_tunnel_out() -> None:
    early = installed(("unit", "kprov-network.service"), ("file", NETWORK_MODE))
    cut_off = Observation(facts=tunnelled(), records=early, texts={NETWORK_MODE: b"vxlan 4096 4789\n"})
    lost = Observation(facts=tunnelled(), records=installed(("unit", "kprov-network.service")))
    assert not found(cut_off, cluster(network=VXLAN))
    assert not found(lost, cluster(network=VXLAN))
    assert "Port-4789" in found(tunnelled(), cluster(network=VXLAN))


@pytest.mark.parametrize(("mode", "most"), [("routed", 1500), ("vxlan", 1450)])
def test_pods_packets_must_fit_through_the_link(mode: Any, most: int) -> None:
    assert not found(fit(), cluster(network=NetworkSettings(mode=mode, mtu=most)))
    problem = the_only(found(fit(), cluster(network=NetworkSettings(mode=mode, mtu=most + 1))), "MTU")
    assert f"at most {most}" in problem.needed


def pair(addresses: tuple[str, str], network: NetworkSettings, **changes: Any) -> tuple[Problem, ...]:
    hosts = [host(name, ("control_plane", "worker"), number) for name, number in (("a", 11), ("b", 12))]
    seen = {
        one.name: Observation(
            facts=fit(
                hostname=one.name,
                machine_id=one.name * 32,
                interfaces=(Interface(name="eth0", mtu=1500, addresses=(f"{address}",)),),
                default_address=address.split("/")[0],
                **changes,
            )
        )
        for one, address in zip(hosts, addresses, strict=True)
    }
    return check(cluster(*hosts, network=network), seen)


def test_routes_need_hosts_in_one_network() -> None:
    assert not pair(("192.0.2.11/24", "192.0.2.12/24"), NetworkSettings())
    apart = pair(("192.0.2.11/28", "198.51.100.12/24"), NetworkSettings())
    assert [(problem.name, problem.host) for problem in apart] == [("HostsApart", "a"), ("HostsApart", "b")]
    assert apart[0].found == "b in no network of this host (192.0.2.0/28)"
    assert "network: vxlan" in apart[0].todo


def test_a_tunnel_does_not() -> None:
    assert not pair(("192.0.2.11/28", "198.51.100.12/24"), VXLAN)
    assert not pair(("192.0.2.11/32", "192.0.2.12/32"), NONE)


def test_interfaces_of_a_users_own_network_are_no_collision_on_a_node() -> None:
    extra = Interface(name="flannel.1", mtu=1450, addresses=("10.244.0.0/32",))
    own = fit(interfaces=(*facts().interfaces, extra))
    assert not found(living("none", own), cluster(network=NONE))
    assert "CIDR" in found(own, cluster(network=NONE))
    assert "flannel.1" in the_only(found(living("routed", own), cluster()), "CIDR").found


def test_the_tunnels_own_address_is_no_collision() -> None:
    extra = Interface(name="kprov-vxlan", mtu=1450, addresses=("10.244.0.1/32",))
    own = fit(interfaces=(*facts().interfaces, extra))
    assert not found(living("vxlan 4096 4789", own), cluster(network=VXLAN))


def test_what_stays_is_no_change() -> None:
    assert not found(living("routed"), cluster())
    assert not found(living(None), cluster())
    assert not found(living("none"), cluster(network=NONE))
    assert not found(Observation(facts=fit()), cluster(network=NONE))
    killed_early = Observation(
        facts=fit(), records=installed(("file", NETWORK_MODE)), texts={NETWORK_MODE: b"routed\n"}
    )
    assert not found(killed_early, cluster(network=NONE))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("routed", VXLAN),
        (None, VXLAN),
        ("vxlan 4096 4789", NetworkSettings()),
        ("vxlan 1 4789", VXLAN),
        ("routed, vxlan 4096 4789", VXLAN),
        ("routed, vxlan 4096 4789", NetworkSettings()),
    ],
)
def test_one_built_in_network_may_become_the_other(before: str | None, after: NetworkSettings) -> None:
    problem = the_only(found(living(before), cluster(network=after)), "NetworkMode", "warning")
    assert problem.needed == identity(after)
    assert problem.found == f"{before or 'routed'} on cp1"


@pytest.mark.parametrize(
    ("before", "after"), [("routed", NONE), ("none", NetworkSettings()), ("none", VXLAN), ("x", VXLAN)]
)
def test_no_other_change_is_made_to_a_living_cluster(before: str, after: NetworkSettings) -> None:
    problem = the_only(found(living(before), cluster(network=after)), "NetworkMode")
    assert "cannot be changed" in problem.what


def test_a_change_is_for_all_nodes_or_for_none() -> None:
    hosts = [host(f"n{number}", ("control_plane", "worker"), number) for number in range(1, 8)]
    seen = {one.name: living("routed", facts_of(number)) for number, one in enumerate(hosts, start=1)}
    own = cluster(*hosts, network=VXLAN)
    (problem,) = check(own, seen, frozenset({"n3"}))
    assert (problem.name, problem.host, problem.severity) == ("NetworkMode", "n3", "error")
    assert problem.found == "routed on n1, n2, n3, n4, n5 and 2 more"
    (whole,) = check(own, seen, frozenset(one.name for one in hosts))
    assert whole.severity == "warning"


def facts_of(number: int) -> Facts:
    link = Interface(name="eth0", mtu=1500, addresses=(f"192.0.2.{number}/24",))
    return fit(hostname=f"n{number}", machine_id=f"{number:032}", interfaces=(link,))
