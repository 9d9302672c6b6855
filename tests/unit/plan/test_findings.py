"""The table of findings: each row finds what it is for, and nothing on a host that is well."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from inventory_text import cluster as inventory
from inventory_text import loaded
from observed import bare, record
from pki_cases import NOW

from kprov.observe.observation import Observation, UnitState
from kprov.observe.surroundings import PeerRoute, Surroundings
from kprov.pki.authority import CertificateAuthority
from kprov.plan.findings import ROWS, Finding, findings
from kprov.values.certificate import CertificateSpec
from kprov.values.host_settings import HostSettings, Setting
from kprov.values.model import BackupSettings, Cluster, NetworkSettings
from kprov.values.paths import BACKUP_STATUS
from kprov.values.paths import NETWORK_HOSTS as DOORS

ACTIVE = UnitState(active="active", enabled="enabled", needs_reload=False, loaded=True, sub="running")
PEER = PeerRoute(
    network="10.244.1.0/24",
    gateway="192.0.2.12",
    by_host="10.244.1.2 via 192.0.2.12 dev eth0 src 192.0.2.11 uid 0",
    by_pods="10.244.1.2 from 10.244.0.2 via 192.0.2.12 dev eth0",
)
BESIDE = Surroundings(
    asked=True,
    tables=frozenset({"ip kube-proxy", "ip kprov"}),
    peers=(PEER,),
    cni=("/etc/kprov/cni/net.d/10-kprov.conflist", "/etc/cni/net.d/05-old.conflist"),
)
CRT = "/etc/kubernetes/pki/kubelet.crt"
AUTHORITY = CertificateAuthority.generate("kubernetes", "ecdsa-p256", 3650, NOW)
ENDING = CertificateAuthority.generate("kubernetes", "ecdsa-p256", 4, NOW)


def certificate(days: int) -> bytes:
    spec = CertificateSpec(name="x", authority="kubernetes", common_name="x", server=True, days=days)
    return AUTHORITY.issue(spec, NOW).cert_pem


def well() -> Observation:
    return replace(
        bare(
            hostname="cp1",
            disk_free={"/var/lib": 50 << 30},
            disk_size={"/var/lib": 99 << 30},
            clock_skew=1.5,
            kernel=(6, 1),
        ),
        records=dict(
            [
                record("unit", "kube-proxy.service"),
                record("unit", "kubelet.service"),
                record("file", CRT),
                record("file", DOORS),
            ]
        ),
        units={"kube-proxy.service": ACTIVE, "kubelet.service": replace(ACTIVE, restarts=3, age=900.0, pause=2.0)},
        texts={DOORS: b"closed\n", CRT: certificate(365), "/etc/ssl/theirs.crt": b"theirs"},
        surroundings=BESIDE,
    )


def units(**changes: Any) -> Observation:
    seen = well()
    return replace(seen, units={**seen.units, "kubelet.service": replace(ACTIVE, **changes)})


def beside(**changes: Any) -> Observation:
    return replace(well(), surroundings=replace(BESIDE, **changes))


def at_boot(*lines: str) -> Observation:
    """With these lines in a file that is read after kprov's."""
    settings = HostSettings(sysctls=tuple(Setting(path="/etc/sysctl.d/zz-local.conf", value=line) for line in lines))
    return replace(well(), facts=replace(well().facts, settings=settings))


def told(status: str) -> Observation:
    """With what the host says of its timed backups, whether the inventory asks for any or not."""
    return replace(well(), texts={DOORS: b"closed\n", BACKUP_STATUS: status.encode()})


def peer(**changes: Any) -> Observation:
    return beside(peers=(replace(PEER, **changes),))


@pytest.fixture
def cluster() -> Cluster:
    return replace(loaded(inventory()).cluster, backup=BackupSettings(every=4 * 3600))


def found(cluster: Cluster, seen: Observation) -> tuple[Finding, ...]:
    return findings(cluster, {cluster.hosts[0].name: seen}, NOW)


def test_a_host_that_is_well_has_none(cluster: Cluster) -> None:
    assert found(cluster, well()) == ()


CASES: tuple[tuple[str, Callable[[], Observation], str], ...] = (
    (
        "UnitRestless",
        lambda: units(active="activating", sub="auto-restart", restarts=41),
        "kubelet.service does not stay up",
    ),
    ("UnitRestless", lambda: units(restarts=1, age=0.4, pause=2.0), "restarted 1 times by systemd"),
    ("ServiceRules", lambda: beside(tables=frozenset({"ip kprov"})), "(ip kube-proxy) are not in the kernel"),
    ("Forwarding", lambda: beside(off=("net.ipv4.ip_forward",)), "net.ipv4.ip_forward is 0: packets of its pods end"),
    ("PeerRoute", lambda: peer(by_host="10.244.1.2 dev tailscale0 table 52 src 100.64.0.1"), "tailscale0"),
    ("PeerRoute", lambda: peer(by_pods="10.244.1.2 from 10.244.0.2 dev wg0"), "from its pods the kernel answers"),
    ("PeerRoute", lambda: peer(by_host="10.244.1.2 via 192.0.2.120 dev eth0"), "do not go via 192.0.2.12:"),
    ("PeerRoute", lambda: peer(by_pods=""), "from its pods there is no route"),
    ("CniFile", lambda: beside(cni=(*BESIDE.cni, "/etc/kprov/cni/net.d/05-x.conf")), "05-x.conf comes before"),
    (
        "Hostname",
        lambda: replace(well(), facts=replace(well().facts, hostname="localhost")),
        "called localhost by now: kubelet would be another node when it starts next",
    ),
    (
        "Hostname",
        lambda: replace(well(), facts=replace(well().facts, settings=HostSettings(static_hostname="debian"))),
        "called debian by now: kubelet would be another node when it starts after the next boot",
    ),
    (
        "DropIn",
        lambda: beside(dropins={"kubelet.service": ("/etc/a.conf",)}),
        "kubelet.service is changed by /etc/a.conf",
    ),
    (
        "ApiServer",
        lambda: replace(well(), objects_error="E1130 memcache.go\nThe connection to the server x was refused\n"),
        "objects: The connection to the server x was refused",
    ),
    (
        "KmsPlugin",
        lambda: replace(well(), kms="kms-provider-0: kmsv2 Provider own is not healthy, error: sealed"),
        "the KMS own does not serve its API server: sealed",
    ),
    (
        "Webhook",
        lambda: replace(well(), webhook_error='Error: failed calling webhook "gate.example.org": no endpoints\n'),
        'makes no pods: Error: failed calling webhook "gate.example.org": no endpoints',
    ),
    (
        "PolicyUnenforced",
        lambda: replace(well(), policies={"shop": 2}),
        "2 NetworkPolicies stand in the cluster that",
    ),
    (
        "PolicyBegins",
        lambda: replace(well(), policies={"shop": 1}),
        "1 NetworkPolicy stands in the cluster that nothing has enforced so far;",
    ),
    (
        "HostsOpen",
        lambda: replace(well(), records={k: v for k, v in well().records.items() if k[1] != DOORS}),
        "older than the key",
    ),
    ("EtcdAlarm", lambda: beside(etcd="ALARM NOSPACE"), "the API answers, and refuses every change"),
    ("EtcdAlarm", lambda: beside(etcd="RAFT NO LEADER"), "RAFT NO LEADER"),
    (
        "DiskSpace",
        lambda: replace(well(), facts=replace(well().facts, disk_free={"/var/lib": 9 << 30})),
        "9.0 of 99.0 GiB",
    ),
    (
        "Inodes",
        lambda: replace(well(), facts=replace(well().facts, inodes_free={"/etc": 0.3, "/var/lib": 0.0, "/opt": 0.0})),
        "/var/lib, /opt takes hardly any more files: 0.0% of its inodes",
    ),
    ("TimedBackup", lambda: told(f"success={int(NOW.timestamp())}\nerror=no room"), "it tried to take failed: no room"),
    (
        "TimedBackup",
        lambda: told(f"success={int(NOW.timestamp()) - 9 * 3600}\nerror="),
        "540 minutes old, and one is due",
    ),
    ("Clock", lambda: replace(well(), facts=replace(well().facts, clock_skew=-11.0)), "11.0 s behind"),
    (
        "Sysctl",
        lambda: at_boot("net.ipv4.ip_forward = 0"),
        "net.ipv4.ip_forward is 0 from the next boot on, and 1 is needed: /etc/sysctl.d/zz-local.conf is read",
    ),
    ("Sysctl", lambda: at_boot("-net/bridge/bridge-nf-call-iptables=0"), "net.bridge.bridge-nf-call-iptables is 0"),
    ("Certificate", lambda: replace(well(), texts={DOORS: b"closed\n", CRT: certificate(3)}), "ends in 3 days"),
    ("Certificate", lambda: replace(well(), texts={DOORS: b"closed\n", CRT: b"?"}), "is no certificate"),
    ("Authority", lambda: replace(well(), texts={DOORS: b"closed\n", CRT: ENDING.cert_pem}), "ends in 4 days"),
)


@pytest.mark.parametrize(("name", "seen", "text"), CASES, ids=[f"{name}-{text[:20]}" for name, _, text in CASES])
def test_each_row_finds_what_it_is_for(cluster: Cluster, name: str, seen: Callable[[], Observation], text: str) -> None:
    enforced = "off" if name == "PolicyUnenforced" else "on"
    (finding,) = found(replace(cluster, network=NetworkSettings(policies=enforced)), seen())  # type: ignore[arg-type]
    assert (finding.name, finding.host) == (name, cluster.hosts[0].name)
    assert text in finding.what
    assert finding.todo


def test_each_row_has_a_case() -> None:
    assert {name for name, _, _ in CASES} | {"CniShared"} == {row.name for row in ROWS}


@pytest.mark.parametrize(
    "seen",
    [
        lambda: beside(asked=False, tables=frozenset()),
        lambda: replace(beside(tables=frozenset()), units={"kubelet.service": ACTIVE}),
        lambda: peer(by_pods=None),
        lambda: beside(cni=("/etc/kprov/cni/net.d/05-x.conf.bak", "/etc/kprov/cni/net.d/99-x.conf")),
        lambda: beside(dropins={"cron.service": ("/etc/a.conf",)}),
        lambda: replace(beside(etcd="ALARM NOSPACE"), records={}),
        lambda: at_boot("net.ipv4.ip_forward=1", "vm.swappiness = 0"),
        lambda: at_boot("net.ipv4.ip_forward=0", "net.ipv4.ip_forward = 1"),
    ],
    ids=[
        "not asked",
        "no proxy yet",
        "no pods yet",
        "not read first",
        "not kprov's unit",
        "not kprov's host",
        "the same",
        "the last",
    ],
)
def test_what_says_nothing_is_no_finding(cluster: Cluster, seen: Callable[[], Observation]) -> None:
    assert found(cluster, seen()) == ()


def test_a_disk_of_several_folders_is_told_once(cluster: Cluster) -> None:
    folders = ("/etc", "/var", "/var/lib")
    seen = replace(
        well(),
        facts=replace(
            well().facts,
            disk_free={**dict.fromkeys(folders, 1 << 30), "/opt": 2 << 30},
            disk_size=dict.fromkeys((*folders, "/opt"), 99 << 30),
        ),
    )
    assert [finding.what for finding in found(cluster, seen)] == [
        "the disk of /etc, /var, /var/lib is nearly full: 1.0 of 99.0 GiB are free",
        "the disk of /opt is nearly full: 2.0 of 99.0 GiB are free",
    ]


def test_other_modes_of_kube_proxy_and_other_networks_are_looked_at_as_they_are(cluster: Cluster) -> None:
    seen = beside(tables=frozenset({"iptables KUBE-SERVICES"}))
    assert [one.name for one in found(cluster, seen)] == ["ServiceRules"]
    assert found(replace(cluster, kube_proxy_mode="iptables"), seen) == ()
    seen = beside(cni=("/etc/kprov/cni/net.d/05-x.conf",))
    assert found(replace(cluster, network=NetworkSettings(mode="flannel")), seen) == ()


@pytest.mark.parametrize(("mode", "own"), [("flannel", "10-flannel"), ("calico", "10-calico"), ("cilium", "05-cilium")])
def test_a_file_before_that_of_a_published_network_is_a_remark(cluster: Cluster, mode: Any, own: str) -> None:
    """It may be meant: Multus puts its own first, and hands pods over."""
    published = replace(cluster, network=NetworkSettings(mode=mode))
    files = (f"/etc/cni/net.d/{own}.conflist", "/etc/cni/net.d/87-podman.conflist", "/etc/cni/net.d/00-old.conf.bak")
    assert found(published, beside(cni=files)) == ()
    (finding,) = found(published, beside(cni=("/etc/cni/net.d/00-old.conf", *files)))
    assert finding.what.startswith(f"/etc/cni/net.d/00-old.conf comes before {own}.conflist")
    assert not finding.grave


def test_policies_are_counted_where_nothing_enforces_them(cluster: Cluster) -> None:
    engine = dict([record("unit", "kprov-policies.service")])
    enforced = replace(well(), policies={"a": 1}, records={**well().records, **engine})
    assert found(cluster, enforced) == ()  # routed, as it comes
    cluster = replace(cluster, network=NetworkSettings(policies="off"))
    (finding,) = found(cluster, replace(well(), policies={"a": 1}))
    assert "1 NetworkPolicy stands in the cluster that nothing enforces: the network routed" in finding.what
    assert not finding.grave
    for mode, counts in {"flannel": 1, "calico": 0, "cilium": 0, "none": 0}.items():
        network = NetworkSettings(mode=mode)  # type: ignore[arg-type]
        seen = replace(well(), policies={"a": 1}, surroundings=Surroundings())
        assert len(found(replace(cluster, network=network), seen)) == counts, mode
    many = replace(well(), policies=dict.fromkeys("abcde", 2))
    assert "10 NetworkPolicies" in found(cluster, many)[0].what
    assert "(namespaces a, b, c and 2 more)" in found(cluster, many)[0].what
    for mode in ("calico", "cilium", "none"):
        assert (
            found(replace(cluster, network=NetworkSettings(mode=mode)), replace(many, surroundings=Surroundings()))
            == ()
        )


def test_a_certificate_that_has_ended_is_told(cluster: Cluster) -> None:
    (finding,) = findings(cluster, {cluster.hosts[0].name: well()}, NOW + timedelta(days=366))
    assert finding.what == f"{CRT} has ended"
