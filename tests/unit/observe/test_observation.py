"""The probe's answer, parsed: whole, cut, hostile."""

from __future__ import annotations

import base64
import gzip
import json

import pytest
from texts_archive import archived

from kprov.observe.gather import ask_again, gather
from kprov.observe.observation import ANSWER_LIMIT, UnitState, parse, printable, seconds_of
from kprov.observe.probe import Question
from kprov.transport.base import Result
from kprov.transport.fake import FakeTransport
from kprov.values.errors import TransportError
from kprov.values.model import Connection, Host

LINES = [
    "fact\tclock\t1000.5",
    "fact\tuid\t0",
    "fact\thostname\tone",
    "fact\tmachine_id\tabc",
    "fact\tarch\tx86_64",
    "fact\tkernel\t6.18.44-x",
    "fact\tos_id\tubuntu",
    "fact\tos_version\t24.04",
    "fact\tsystemd\t255",
    "fact\tcgroup\t2",
    "fact\tcpus\t4",
    "fact\tmemory\t8589934592",
    "fact\tswap\tno",
    "fact\tdefault_address\t192.0.2.11",
    "fact\tcommand\tnft",
    "fact\tcommand\tapt-get",
    "fact\tnft\t1.0.6",
    "fact\tselinux\t1",
    "fact\tgeneration\tg1",
    "link\teth0\t1500 02:00:5e:00:00:0b",
    "address\teth0\t192.0.2.11/24",
    "disk\t/var\t1000 2000 30 120",
    "disk\t/etc\t1000 2000 - -",
    "listener\t22\t0.0.0.0 sshd pid 7",
    "udp\t4789\t192.0.2.1 ",
    "module\toverlay\tpresent",
    "module\tvxlan\tloadable",
    "leftover\t/etc/rancher\t-",
    "record\tfile\t/etc/a\tHASH\tSTAT\tabsent",
    "record\tunit\tetcd.service\t-\t-\tabsent",
    "stat\t/etc/a\t600\troot\troot\tregular file\tSTAT",
    "stat\t/etc/b\t755\troot\troot\tdirectory\tOTHER",
    "stat\t/etc/c\t644\troot\troot\tregular file\tOTHER",
    "sum\t/etc/c\tCSUM",
    "texts\tarchive\t" + archived({"etc/c.crt": b"PEM"}),
    "unit\tetcd.service\tactive enabled no loaded",
    "fragment\tetcd.service\t/usr/lib/systemd/system/etcd.service",
    "symlink\t/etc/d\t/srv/d",
    "symlink\t/etc/e\tnowhere",
    "holds\t/var/lib/etcd\tyes",
    "stamp\tetcd.service\tS1",
    "sysctl\ta.b\t1  2",
    "loaded\toverlay\tyes",
    "user\tetcd\tetcd:x:1:1::/:/x",
    "reach\thttps://x/a\tyes",
    "resolve\tapi.example.org\t192.0.2.9 192.0.2.10",
    "resolve\tnowhere.example.org\t",
    "reach\thttps://x/b\tHTTP 404",
    "image\tx:1\tloose",
    "image\ty:1\t-",
    "version\tetcd\tetcd Version: 3.7.3",
    "health\tetcd\tok",
]


def answer(*lines: str, begin: str = "kprov-probe begin\n", end: str = "kprov-probe end\n") -> bytes:
    return ("noise of a login script\n" + begin + "".join(f"{line}\n" for line in lines) + end).encode()


def observed(*lines: str):  # type: ignore[no-untyped-def]
    return parse(answer(*(lines or LINES)), host="one", asked=[("file", "/etc/zz")], operator_clock=1000.0)


def test_facts() -> None:
    facts = observed().facts
    assert (facts.hostname, facts.arch, facts.kernel, facts.cgroup, facts.systemd) == ("one", "amd64", (6, 18), 2, 255)
    assert facts.clock_skew == pytest.approx(0.5)
    assert facts.interfaces[0].addresses == ("192.0.2.11/24",)
    assert facts.interfaces[0].mtu == 1500
    assert facts.interfaces[0].mac == "02:00:5e:00:00:0b"
    assert facts.disk_free == {"/var": 1000, "/etc": 1000}
    assert facts.inodes_free == {"/var": 0.25}  # btrfs counts no files
    assert facts.listeners[0].process == "sshd pid 7"
    assert [(item.port, item.address, item.process) for item in facts.udp_listeners] == [(4789, "192.0.2.1", "")]
    assert facts.modules == {"overlay"}
    assert facts.loadable == {"vxlan"}
    assert facts.package_manager == "apt"
    assert facts.selinux == "enforcing"
    assert facts.nft == (1, 0)
    assert facts.leftovers == ("/etc/rancher",)
    assert facts.is_root


def test_a_host_that_waited_for_an_apply_has_no_wrong_clock() -> None:
    """Asked from 1000 to 1060 of the operator's time, and silent for 55 s of it."""
    waited = [line for line in LINES if "fact\tclock" not in line] + ["fact\tclock\t1002.0", "fact\tclock_end\t1059.0"]
    seen = parse(answer(*waited), host="one", asked=(), operator_clock=1030.0)
    assert seen.facts.clock_skew == pytest.approx(0.5)


@pytest.mark.parametrize(("program", "manager"), [("dnf", "dnf"), ("zypper", "zypper"), ("ls", "")])
def test_package_managers(program: str, manager: str) -> None:
    assert observed(f"fact\tcommand\t{program}").facts.package_manager == manager


def test_an_unchanged_stat_line_keeps_the_recorded_hash_and_any_other_is_hashed() -> None:
    files = observed().files
    assert files["/etc/a"].sha256 == "HASH"
    assert files["/etc/a"].mode == 0o600
    assert files["/etc/b"].sha256 is None
    assert files["/etc/c"].sha256 == "CSUM"


def test_everything_else() -> None:
    seen = observed()
    assert seen.records[("file", "/etc/a")].value == "HASH"
    assert seen.units["etcd.service"].active == "active"
    assert seen.units["etcd.service"].loaded
    assert not seen.units["etcd.service"].needs_reload
    assert seen.units["etcd.service"].fragment == "/usr/lib/systemd/system/etcd.service"
    assert seen.links == {"/etc/d": "/srv/d"}
    assert seen.holding == {"/var/lib/etcd"}
    assert seen.stamps == {"etcd.service": "S1"}
    assert seen.sysctls == {"a.b": "1 2"}
    assert seen.loaded == {"overlay"}
    assert seen.users == {"etcd"}
    assert seen.reachable == {"https://x/a"}
    assert seen.resolved == {"api.example.org": ("192.0.2.9", "192.0.2.10"), "nowhere.example.org": ()}
    assert seen.out_of_reach == {"https://x/b": "HTTP 404"}
    assert seen.images == {"x:1": True, "y:1": False}
    assert seen.texts == {"/etc/c.crt": b"PEM"}
    assert seen.generation == "g1"
    assert seen.health == {"etcd": "ok"}
    assert seen.versions == {"etcd": "etcd Version: 3.7.3"}
    assert ("file", "/etc/zz") in seen.asked
    assert ("file", "/etc/a") in seen.asked


def encoded(document: object) -> str:
    return base64.b64encode(json.dumps(document).encode()).decode()


def test_etcd_tells_its_members_and_leader() -> None:
    members = {"members": [{"ID": 255, "name": "a", "peerURLs": ["https://a:2380"]}, {"ID": 1, "isLearner": True}]}
    status = [{"Status": {"leader": 255, "header": {"revision": 42}}}]
    view = observed(
        "etcd\tdata\t20480",
        "etcd\tjoining\tyes",
        f"etcd\tmembers\t{encoded(members)}",
        f"etcd\tstatus\t{encoded(status)}",
    ).etcd
    assert view.has_data
    assert view.joining
    assert (view.leader, view.revision) == ("ff", 42)
    assert view.members is not None
    assert [(member.id, member.name, member.learner) for member in view.members] == [
        ("ff", "a", False),
        ("1", "", True),
    ]


def test_a_member_without_a_leader_tells_its_revision() -> None:
    view = observed(f"etcd\tstatus\t{encoded([{'Status': {'header': {'revision': 42}}}])}").etcd
    assert (view.leader, view.revision) == ("", 42)


def test_nonsense_of_etcd_counts_as_no_answer() -> None:
    view = observed("etcd\tmembers\t!!!", f"etcd\tstatus\t{encoded([])}").etcd
    assert view.members is None
    assert view.leader == ""


def test_objects_found_failed_and_broken() -> None:
    packed = base64.b64encode(gzip.compress(b'{"items": [{"kind": "Node"}]}')).decode()
    assert observed(f"objects\tfound\t{packed}").objects == ({"kind": "Node"},)
    failed = observed("objects\tfailed\t" + base64.b64encode(b"refused").decode())
    assert failed.objects is None
    assert failed.objects_error == "refused"
    assert observed("objects\tfound\tAAAA").objects is None


def test_networkpolicies_are_counted_by_namespace_and_what_is_no_count_is_left_out() -> None:
    lines = base64.b64encode(b"default 2\nshop 1\nodd\nodd many\n").decode()
    assert observed(f"objects\tpolicies\t{lines}").policies == {"default": 2, "shop": 1}
    assert observed("").policies == {}


def test_what_many_hosts_have_alike_is_kept_once() -> None:
    lines = (
        "record\tfile\t/etc/a\tabc\t1:2:3\tabsent",
        "stat\t/etc/a\t644\troot\troot\tregular file\t1:2:3",
        "texts\tarchive\t" + archived({"etc/a": b"the same on many hosts"}),
    )
    one, other = observed(*lines), observed(*lines)
    (record,), (again,) = one.records.values(), other.records.values()
    assert record.name is again.name
    assert record.value is again.value
    assert record.before is again.before
    assert one.files["/etc/a"].stat is record.stat
    assert one.files["/etc/a"].owner is other.files["/etc/a"].owner
    assert next(iter(one.files)) is next(iter(other.files))
    assert one.texts["/etc/a"] is other.texts["/etc/a"]


def test_texts_that_are_broken_cut_or_inflate_without_end_count_as_none() -> None:
    whole = base64.b64decode(archived({"etc/a": b"a" * 100_000}))
    bomb = gzip.compress(bytes(ANSWER_LIMIT + 1))
    for archive in (b"no gzip", whole[:-20], whole[:60], bomb, gzip.compress(b"no tar" * 100)):
        assert observed(f"texts\tarchive\t{base64.b64encode(archive).decode()}").texts == {}


def test_who_holds_the_lock() -> None:
    assert observed("fact\tholder\tme since now").holder == "me since now"


@pytest.mark.parametrize("cut", [b"", b"noise", answer(*LINES)[:-20], answer(*LINES, begin="")])
def test_a_cut_answer_is_refused(cut: bytes) -> None:
    with pytest.raises(TransportError, match="not complete"):
        parse(cut, host="one", asked=(), operator_clock=0)


def test_a_huge_answer_is_refused() -> None:
    with pytest.raises(TransportError, match="too large"):
        parse(b"x" * (ANSWER_LIMIT + 1), host="one", asked=(), operator_clock=0)


def test_broken_lines_are_passed_over() -> None:
    seen = observed(
        "stat\t/x\t600", "record\tfile\t/y", "listener\tabc\tx", "unit\tx", "link\teth0\t?", "nothing", "disk\t/v\tx"
    )
    assert not seen.files
    assert not seen.records
    assert not seen.facts.listeners
    assert not seen.units["x"].loaded


def test_a_host_cannot_drive_the_operators_terminal() -> None:
    assert printable("a\x1b[2Jb\x07\n\tc") == "a[2Jb\n\tc"


@pytest.mark.parametrize(
    ("span", "seconds"),
    [("2s", 2), ("100ms", 0.1), ("1min 30s", 90), ("1h 5ms", 3600.005), ("250us", 0.00025), ("infinity", 0), ("", 0)],
)
def test_time_spans_of_systemd(span: str, seconds: float) -> None:
    assert seconds_of(span) == pytest.approx(seconds)


def unit(rest: str) -> UnitState:
    lines = ["kprov-probe begin", f"unit\tkubelet.service\t{rest}", "kprov-probe end", ""]
    return parse("\n".join(lines).encode(), host="one", asked=(), operator_clock=0).units["kubelet.service"]


@pytest.mark.parametrize(
    ("rest", "running"),
    [
        ("active enabled no loaded running 0 100.00 99500000 2s", True),
        ("active enabled no loaded running 3 100.00 90000000 2s", True),
        ("active enabled no loaded running 3 100.00 99500000 2s", False),
        ("active enabled no loaded running 3 100.00 90000000 1min 30s", False),
        ("reloading enabled no loaded reload 0 100.00 90000000 2s", True),
        ("activating enabled no loaded start 0 100.00 90000000 2s", True),
        ("activating enabled no loaded start 1 100.00 90000000 2s", False),
        ("activating enabled no loaded auto-restart 0 100.00 0 2s", False),
        ("activating enabled no loaded auto-restart-queued 0 100.00 0 2s", False),
        ("inactive - no not-found dead 0 100.00 0 100ms", False),
    ],
)
def test_a_unit_runs_when_it_stays_up(rest: str, running: bool) -> None:
    assert unit(rest).running is running


def test_an_uptime_that_is_not_systemds_says_nothing_about_a_processs_age() -> None:
    assert unit("active enabled no loaded running 3 1.00 99500000 2s").age is None
    assert unit("active enabled no loaded running 3 x y z").age is None


def test_what_a_host_is_not_asked_again_stays() -> None:
    """What its API server says of a KMS, and what is known of the machine."""
    said = iter(["sick", "", ""])
    answers = {True: lambda: f"kms\tfailing\t{base64.b64encode(next(said).encode()).decode()}\n", False: lambda: ""}

    def answer(_host: Host, _command: str, stdin: bytes) -> Result:
        text = answers[b"\nkms\t" in gzip.decompress(stdin)]()
        return Result(status=0, stdout=f"kprov-probe begin\n{text}kprov-probe end\n".encode(), stderr=b"")

    host = Host(name="a", groups=frozenset({"control_plane"}), connection=Connection(address="192.0.2.1"))
    asked = Question(kubeconfig=b"x", kms=True)
    fleet = gather(FakeTransport(handler=answer), [host], {"a": asked}, forks=1)
    assert fleet.observations["a"].kms == "sick"
    fleet = ask_again(fleet, {"a": Question()}, forks=1)
    assert fleet.observations["a"].kms == "sick"
    assert ask_again(fleet, {"a": asked}, forks=1).observations["a"].kms == ""
