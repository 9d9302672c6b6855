"""What is not kprov's, met by apply.sh and the probe for real: it is seen, left alone, or given back as it was."""

from __future__ import annotations

import pytest
from apply_room import Room
from test_apply import file

from kprov.apply import scripts, wire
from kprov.apply.batch import Batch
from kprov.apply.operations import give_back_units, write_removal
from kprov.observe.probe import Question
from kprov.values.resources import Key

LISTEN = """import socket, sys
server = socket.socket(socket.AF_UNIX)
server.bind(sys.argv[1])
server.listen()
print("ready", flush=True)
sys.stdin.read()
"""

# A file system whose server never says a word, as one behind a network that is gone: what asks it waits for ever.
DEAD = """import ctypes, os, sys
server = os.open("/dev/fuse", os.O_RDWR)
options = f"fd={server},rootmode=40000,user_id=0,group_id=0".encode()
assert ctypes.CDLL(None).mount(b"dead", sys.argv[1].encode(), b"fuse.dead", 0, options) == 0
print("ready", flush=True)
sys.stdin.read()
"""


def folder(batch: Batch, path: str, kept: str = "purge") -> None:
    batch.know(("directory", path), kept)
    made = wire.Directory(path=path, owner="root", group="root", mode="0700", content=kept)
    batch.add(f"directory {path}", made)


def taken_away(room: Room, *keys: Key) -> None:
    """What `down` sends for these, from what the host's own ledger says."""
    seen, batch = room.observe(), Batch()
    for key in keys:
        write_removal(batch, key, seen)
    give_back_units(batch, keys, seen)
    assert room.apply(batch)[-1] == ["done", "0", "-"]


def state(room: Room, path: str) -> list[str]:
    """Mode, owner and all that is below, each with what it is."""
    return room.text(
        f"stat -L -c '%a %U' {path}; cd {path}/ && find . -mindepth 1 -printf '%P %y\\n' | sort"
    ).splitlines()


@pytest.mark.parametrize(
    "before",
    [
        pytest.param("mkdir -m 0750 {d}; chown daemon {d}; mkdir {d}/sub; echo theirs > {d}/sub/file", id="full"),
        pytest.param("mkdir -m 0755 {d}", id="empty"),
        pytest.param("mkdir {d}; mount -t tmpfs -o mode=0711 disk {d}; mkdir {d}/lost+found", id="a disk"),
        pytest.param("mkdir -m 0710 /srv/there; ln -s /srv/there {d}", id="a link"),
        pytest.param(
            "mkdir -m 0710 /srv/there; echo theirs > /srv/there/file; ln -s /srv/there {d}", id="a link, full"
        ),
    ],
)
@pytest.mark.parametrize("kept", ["purge", "keep"])
def test_a_folder_that_was_there_is_there_with_mode_owner_and_content(room: Room, before: str, kept: str) -> None:
    path = "/var/lib/data"
    room.text(before.format(d=path))
    expected, kind = state(room, path), room.text(f"stat -c %F {path}")
    batch = Batch()
    folder(batch, path, kept)
    file(batch, f"{path}/recorded", b"ours")
    assert room.apply(batch)[-1] == ["done", "0", "-"]
    assert state(room, path)[0] == "700 root"
    if kept == "purge" and not any(entry.endswith(" f") for entry in expected):  # nobody's data was there
        room.text(f"mkdir {path}/more; echo ours > {path}/more/data; echo ours > {path}/.hidden")
    taken_away(room, ("file", f"{path}/recorded"), ("directory", path))
    assert (state(room, path), room.text(f"stat -c %F {path}")) == (expected, kind)


def test_a_folder_of_kprovs_own_goes_with_all_it_holds_and_a_mount_point_keeps_what_is_the_disks(room: Room) -> None:
    batch = Batch()
    for path in ("/var/lib/one", "/var/lib/disk"):
        folder(batch, path)
    assert room.apply(batch)[-1][0] == "done"
    room.text("mkdir /var/lib/one/deep; echo x > /var/lib/one/deep/x; mount -t tmpfs disk /var/lib/disk")
    room.text("mkdir /var/lib/disk/lost+found /var/lib/disk/deep; echo x > /var/lib/disk/.x")
    taken_away(room, ("directory", "/var/lib/one"), ("directory", "/var/lib/disk"))
    assert room.text("cd /var/lib && ls -A . disk | grep -v kprov") == ".:\ndisk\n\ndisk:\nlost+found\n"


def test_a_link_that_an_older_kprov_took_for_a_folder_keeps_the_mode_behind_it(room: Room) -> None:
    room.text("mkdir -m 0710 /srv/there; ln -s /srv/there /var/lib/data; mkdir -p /var/lib/kprov")
    room.text("printf 'directory\\t/var/lib/data\\tpurge\\t-\\tpresent 777 root root\\n' > /var/lib/kprov/ledger")
    room.text("mkdir /srv/there/of-the-cluster")
    taken_away(room, ("directory", "/var/lib/data"))
    assert state(room, "/var/lib/data") == ["710 root"], "and its data is gone"


@pytest.mark.parametrize(
    ("enabled", "active", "calls"),
    [
        ("enabled", "active", ["enable -q x.service", "start --no-block x.service"]),
        ("disabled", "active", ["start --no-block x.service"]),
        ("enabled", "inactive", ["enable -q x.service"]),
        ("static", "failed", []),
    ],
)
def test_a_foreign_unit_of_the_same_name_is_given_back_as_it_was(
    room: Room, enabled: str, active: str, calls: list[str]
) -> None:
    path = "/etc/systemd/system/x.service"
    room.text(f"mount -t tmpfs units /etc/systemd/system; echo theirs > {path}")
    room.stub(
        "systemctl",
        f"""case "$*" in
        *LoadState*) echo loaded ;; is-enabled*) echo {enabled} ;; is-active*) echo {active} ;;
        enable* | start*) echo "$*" >> /srv/calls; [ "$(cat {path})" = theirs ] || echo 'too early' >> /srv/calls ;;
        esac""",
    )
    batch = Batch()
    file(batch, path, b"ours")
    batch.know(("unit", "x.service"))
    batch.add("unit", wire.Stamp(unit="x.service", value="1"))
    assert room.apply(batch)[-1] == ["done", "0", "-"]
    assert room.observe().records["unit", "x.service"].before == f"present {enabled} {active}"
    taken_away(room, ("unit", "x.service"), ("file", path))
    assert room.text("cat /srv/calls 2> /dev/null; true").splitlines() == calls


@pytest.mark.parametrize("loaded", ["not-found", "masked"])
def test_a_unit_of_nobody_is_absent_before(room: Room, loaded: str) -> None:
    room.stub("systemctl", f"echo {loaded}")
    batch = Batch()
    batch.know(("unit", "x.service"))
    assert room.apply(batch)[-1][0] == "done"
    assert room.observe().records["unit", "x.service"].before == "absent"


def test_a_unit_whose_file_is_recorded_is_nobody_elses(room: Room) -> None:
    room.text("mount -t tmpfs units /etc/systemd/system")
    room.stub("systemctl", "echo loaded")
    batch = Batch()
    file(batch, "/etc/systemd/system/x.service", b"ours")
    assert room.apply(batch)[-1][0] == "done"
    batch.know(("unit", "x.service"))
    assert room.apply(batch)[-1][0] == "done"
    assert room.observe().records["unit", "x.service"].before == "absent"


def test_what_a_stopped_program_left_in_run_goes_and_a_socket_in_use_stays(room: Room) -> None:
    """Docker's shims listen below /run/containerd, too, whichever containerd they were started by."""
    room.text("mkdir -p /run/containerd/s /run/containerd/task/x; echo 1 > /run/containerd/task/x/pid")
    room.text("mkfifo /run/containerd/fifo")
    room.text("python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"/run/containerd/ours.sock\")'")
    batch = Batch()
    batch.add("what is left", wire.Clear(path="/run/containerd"))
    batch.add("what is not there", wire.Clear(path="/run/other.sock"))
    with room.running(LISTEN, "/run/containerd/s/theirs"):
        assert room.apply(batch)[-1] == ["done", "0", "-"]
        assert room.text("find /run/containerd ! -type d") == "/run/containerd/s/theirs\n"
    assert room.apply(batch)[-1] == ["done", "0", "-"]
    assert room.text("find /run ! -type d; ls -d /run/containerd 2> /dev/null; true") == ""


def test_of_docker_only_what_kubernetes_runs_is_deleted(room: Room) -> None:
    """Docker's API as far as it is asked here, by a script that has the name of its client."""
    room.stub(
        "curl",
        """for word in "$@"; do url=$word; done
        echo "$url" >> /srv/asked
        case "$url" in
        *'filters=%7B%22label%22%3A%5B%22io.kubernetes.docker.type%22%5D%7D') echo '[{"Id":"aa11"}]' ;;
        *json*) echo '[{"Id":"aa11"},{"Id":"bb22"}]' ;;
        esac""",
    )
    batch = Batch()
    batch.add("pods", wire.Sandboxes(store="/run/docker.sock"))
    with room.running(LISTEN, "/run/docker.sock"):
        assert room.apply(batch)[-1] == ["done", "0", "-"]
    asked = room.text("cat /srv/asked").splitlines()
    assert [url for url in asked if "bb22" in url] == []
    assert asked[-1] == "http://docker/containers/aa11?force=1&v=1"


def test_mounts_below_a_folder_are_let_go_whatever_their_names_are(room: Room) -> None:
    room.text("mkdir -p /srv/real/pods '/srv/real/two words' /srv/realistic; ln -s /srv/real /var/lib/kubelet")
    for path in ("/srv/real/pods", "/srv/real/two words", "/srv/realistic"):
        room.text(f"mount -t tmpfs x '{path}'")
    room.text("mkdir /srv/real/pods/deep; mount -t tmpfs x /srv/real/pods/deep")
    batch = Batch()
    batch.add("mounts", wire.Unmount(path="/var/lib/kubelet"))
    batch.add("mounts", wire.Unmount(path="/var/lib/not-there"))
    assert room.apply(batch)[-1] == ["done", "0", "-"]
    assert room.text("awk '$5 ~ /^.srv.real/ {print $5}' /proc/self/mountinfo") == "/srv/realistic\n"


def test_a_mount_whose_server_is_gone_holds_nobody_up(room: Room) -> None:
    room.text("mkdir -p /var/lib/kubelet/pods/dead")
    room.stub("umount", 'echo "$@" >> /srv/asked; exec /bin/umount "$@"')
    batch = Batch()
    batch.add("mounts", wire.Unmount(path="/var/lib/kubelet"))
    with room.running(DEAD, "/var/lib/kubelet/pods/dead"):
        room.text("grep -q dead /proc/self/mountinfo")
        assert room.apply(batch)[-1] == ["done", "0", "-"]
        assert room.sh("grep dead /proc/self/mountinfo").stdout == b""
    assert room.text("cat /srv/asked") == "-l /var/lib/kubelet/pods/dead\n", (
        "what is known to wait for a server is not asked"
    )


def test_a_mount_that_only_time_tells_is_stuck_is_let_go_and_holds_no_lock(room: Room) -> None:
    room.text("mkdir -p /var/lib/kubelet/pods/stuck; mount -t tmpfs stuck /var/lib/kubelet/pods/stuck")
    room.stub("umount", 'case "$*" in -l*) exec /bin/umount "$@" ;; *) echo $$ > /srv/hangs; exec sleep 600 ;; esac')
    # A clock that runs on by five seconds whenever it is read: waiting ends early.
    room.stub("date", "echo x >> /srv/ticks; echo $(($(wc -l < /srv/ticks) * 5))")
    batch = Batch()
    batch.add("mounts", wire.Unmount(path="/var/lib/kubelet"))
    assert room.apply(batch)[-1] == ["done", "0", "-"]
    assert room.sh("grep stuck /proc/self/mountinfo").stdout == b""
    assert room.text("flock -n /var/lib/kprov/apply.lock echo free; kill $(cat /srv/hangs)") == "free\n"


def test_the_probe_tells_of_links_of_what_folders_hold_and_of_units_files(room: Room) -> None:
    room.text("mkdir /srv/there /srv/empty /srv/disk /srv/disk/lost+found /srv/hidden; echo x > /srv/hidden/.x")
    room.text("ln -s there /srv/link; ln -s /srv/nowhere /srv/dangling; echo x > /srv/there/x; ln -s x /srv/a/x")
    room.stub(
        "systemctl",
        "printf 'Id=%s\nLoadState=loaded\nActiveState=active\nUnitFileState=enabled\nNeedDaemonReload=no\n"
        "FragmentPath=/usr/lib/systemd/system/x.service\n' x.service",
    )
    folders = [f"/srv/{name}" for name in ("empty", "disk", "hidden", "link", "dangling", "a", "none")]
    keys = [(kind, path) for path in folders for kind in ("directory", "holds")]
    seen = room.observe(Question(keys=[*keys, ("unit", "x.service")], facts=False))
    assert seen.links == {"/srv/link": "/srv/there", "/srv/dangling": "/srv/nowhere"}
    assert seen.holding == {"/srv/hidden", "/srv/link", "/srv/a"}
    assert seen.units["x.service"].fragment == "/usr/lib/systemd/system/x.service"


def test_a_data_folder_is_told_of_when_it_has_a_disk_of_its_own(room: Room) -> None:
    room.text("mkdir /var/lib/etcd /var/lib/containerd; mount -t tmpfs -o size=200m disk /var/lib/etcd")
    facts = room.observe(Question(facts=True)).facts
    assert facts.disk_size["/var/lib/etcd"] == 200 << 20
    assert set(facts.disk_size) == {"/etc", "/opt", "/var", "/var/lib", "/var/lib/etcd"}


def test_the_clock_is_read_before_an_apply_is_waited_for_and_after(room: Room) -> None:
    """An apply that hangs holds its lock: the probe waits for it, and the host's clock is none the worse for it."""
    room.text("mkdir -p /var/lib/kprov; touch /var/lib/kprov/apply.lock /var/lib/kprov/run.lock")
    # It waits in vain, and time goes by meanwhile.
    room.stub("flock", 'case "$*" in *apply.lock*) echo 100 > /srv/clock; exit 1 ;; esac')
    room.stub("date", "cat /srv/clock")
    room.text("echo 40 > /srv/clock")
    facts = room.observe(Question(facts=True)).facts
    assert (facts.clock, facts.clock_skew) == (40.0, 70.0), "the middle of both; the operator's is 0 here"


def test_the_answer_of_the_probe_is_one_line_a_fact(room: Room) -> None:
    """A link whose target holds a line break says no more than one."""
    room.text("ln -s \"$(printf '/srv/a\\nrecord\\tfile\\t/etc/shadow\\t-\\t-\\tabsent')\" /srv/evil")
    seen = room.observe(Question(keys=[("directory", "/srv/evil")], facts=False))
    assert seen.records == {}
    assert seen.links["/srv/evil"].startswith("/srv/a record file")


CTR = """case "$*" in
*'namespaces ls -q') printf 'default\\nk8s.io\\nmoby\\n' ;;
*'-n moby containers ls -q') cat /srv/theirs 2> /dev/null ;;
*'-n default images ls -q') cat /srv/images 2> /dev/null ;;
*'-n k8s.io'*) echo ours ;;
esac; true"""


def alone(room: Room, store: str) -> list[str]:
    batch = Batch()
    batch.add("what is in it", wire.Alone(store=store))
    with room.running(LISTEN, store):
        return room.apply(batch)[-1]


def test_containers_of_others_in_kprovs_containerd_are_named_and_kept(room: Room) -> None:
    """As of a Docker that found this containerd and took it for its own."""
    room.text("mkdir /run/containerd")
    room.stub("/opt/kprov/bin/ctr", CTR)
    assert alone(room, "/run/containerd/containerd.sock") == ["done", "0", "-"]
    room.text("rm /run/containerd/*; printf 'a\\nb\\n' > /srv/theirs; echo i > /srv/images")
    failed = alone(room, "/run/containerd/containerd.sock")
    assert failed[:2] == ["fail", "1"]
    assert "1 images in the namespace default; 2 containers in the namespace moby\n" in failed[2]


@pytest.mark.parametrize(
    ("containers", "volumes", "named"),
    [
        ('[{"Id":"aa11"}]', "[]", ""),
        ('[{"Id":"aa11"},{"Id":"bb22","ImageID":"sha256:cc"}]', "[]", "containers bb22\n"),
        ('[{"Id":"aa11"}]', '[{"Name":"data","Driver":"local"}]', "volumes data\n"),
    ],
)
def test_containers_and_volumes_of_others_in_kprovs_docker_are_named_and_kept(
    room: Room, containers: str, volumes: str, named: str
) -> None:
    room.stub(
        "curl",
        f"""for word in "$@"; do url=$word; done
        case "$url" in
        *filters*) echo '[{{"Id":"aa11"}}]' ;; *containers*) echo '{containers}' ;;
        *volumes) echo '{{"Volumes":{volumes}}}' ;;
        esac""",
    )
    answer = alone(room, "/run/docker.sock")
    assert (answer[0] == "done") is (not named)
    assert named in answer[2]


def test_a_runtime_that_does_not_run_has_nobody_to_ask(room: Room) -> None:
    batch = Batch()
    batch.add("what is in it", wire.Alone(store="/run/containerd/containerd.sock"))
    assert room.apply(batch)[-1] == ["done", "0", "-"]


IN_NETWORK = "unshare -n sh /srv/down.sh {argument}"  # a network of its own: the program speaks of links and firewalls


def down_program(room: Room, argument: str = "all") -> None:
    room.sh("cat > /srv/down.sh", scripts.text("down.sh"))
    room.text(IN_NETWORK.format(argument=argument))


@pytest.mark.parametrize("argument", ["all", "pods"])
def test_what_cni_plugins_remember_of_other_networks_stays(room: Room, argument: str) -> None:
    room.text("cd /var/lib; mkdir -p cni/networks/kprov cni/networks/podman cni/results cni/cache/results")
    room.text("cd /var/lib/cni; touch networks/kprov/10.244.0.2 networks/podman/10.88.0.2 results/podman-1-eth0")
    room.text("cd /var/lib/cni; touch results/kprov-1-eth0 results/cni-loopback-1-lo cache/results/kprov-1-eth0")
    down_program(room, argument)
    assert room.text("cd /var/lib/cni && find . ! -type d | sort").splitlines() == [
        "./networks/podman/10.88.0.2",
        "./results/podman-1-eth0",
    ]
    assert room.sh("ls -d /var/lib/cni/cache").returncode != 0, "what is empty goes"


def test_a_network_namespace_in_which_something_runs_is_not_a_pods(room: Room) -> None:
    room.text("ip netns add cni-podman; ip netns add cni-gone; ip netns add other")
    room.stub("ip", '[ "$*" != "netns pids cni-podman" ] || exec echo 77; exec /sbin/ip "$@"')
    down_program(room)
    assert room.text("ls /run/netns").split() == ["cni-podman", "other"]


RULES = """*nat
:CNI-DN-ours - [0:0]
:CNI-DN-theirs - [0:0]
:CNI-HOSTPORT-DNAT - [0:0]
:KUBE-SERVICES - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT
-A PREROUTING -j KUBE-SERVICES
-A CNI-DN-ours -p tcp -j DNAT --to-destination 10.244.0.2:80
-A CNI-DN-theirs -p tcp -j DNAT --to-destination 10.88.0.2:80
-A CNI-HOSTPORT-DNAT -p tcp -m comment --comment "dnat name: \\"kprov\\" id: \\"1\\"" -j CNI-DN-ours
{theirs}COMMIT
"""
THEIRS = '-A CNI-HOSTPORT-DNAT -p tcp -m comment --comment "dnat name: \\"podman\\" id: \\"2\\"" -j CNI-DN-theirs\n'


@pytest.mark.parametrize("theirs", ["", THEIRS])
def test_firewall_rules_of_another_programs_cni_network_stay(room: Room, theirs: str) -> None:
    room.sh("cat > /srv/rules", RULES.format(theirs=theirs).encode())
    room.stub("iptables-save", '[ "$2" != nat ] || cat /srv/rules')
    room.stub("iptables", 'echo "$*" >> /srv/calls')
    down_program(room)
    calls = room.text("cat /srv/calls").splitlines()
    flushed = {call.split()[-1] for call in calls if " -F " in call}
    deleted = {call.split()[-1] for call in calls if " -X " in call}
    unlinked = {call.split()[-1] for call in calls if " -D " in call}
    if theirs:
        assert flushed == deleted == {"CNI-DN-ours", "KUBE-SERVICES"}
        assert unlinked == {"1", "KUBE-SERVICES"}, "a rule whose comment has quotes goes by its number"
        assert "-t nat -D CNI-HOSTPORT-DNAT 1" in calls
    else:
        assert flushed == deleted == {"CNI-DN-ours", "CNI-DN-theirs", "CNI-HOSTPORT-DNAT", "KUBE-SERVICES"}
        assert unlinked == {"CNI-HOSTPORT-DNAT", "KUBE-SERVICES"}


FILTER = """*filter
:CNI-ADMIN - [0:0]
:CNI-FORWARD - [0:0]
:KPROV-FORWARD - [0:0]
-A FORWARD -j KPROV-FORWARD
-A FORWARD -m comment --comment "CNI firewall plugin rules" -j CNI-FORWARD
-A CNI-FORWARD -m comment --comment "CNI firewall plugin admin overrides" -j CNI-ADMIN
-A CNI-FORWARD -d 10.88.0.2/32 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
COMMIT
"""


def test_what_lets_podmans_packets_pass_stays(room: Room) -> None:
    """Nothing in these rules says whose they are, and kprov's network has no plugin that lays them."""
    room.sh("cat > /srv/rules", FILTER.encode())
    room.stub("iptables-save", '[ "$2" != filter ] || cat /srv/rules')
    room.stub("iptables", 'echo "$*" >> /srv/calls')
    down_program(room)
    calls = room.text("cat /srv/calls").splitlines()
    assert "-t filter -X KPROV-FORWARD" in calls
    assert not [call for call in calls if "CNI-" in call]


CHAINS = """table ip filter {
\tchain FORWARD {
\t}
\tchain INPUT {
\t}
\tchain OUTPUT {
\t}
}
table ip own {
\tchain OUTPUT {
\t}
}
"""
CHAIN = """table ip filter {
\tchain NAME {
\t\ttype filter hook name priority filter; policy accept;
RULES\t}
}
"""


def test_a_chain_that_iptables_made_for_our_rules_goes_when_it_is_empty(room: Room) -> None:
    """In a table that stays: FORWARD was there before, INPUT has somebody's rule, and `own` is no table of iptables."""
    room.sh("cat > /srv/chains", CHAINS.encode())
    room.sh("cat > /srv/empty", CHAIN.replace("RULES", "").encode())
    room.sh("cat > /srv/ruled", CHAIN.replace("RULES", "\t\ttcp dport 1 drop\n").encode())
    room.text("mkdir -p /var/lib/kprov/before; echo 'table ip filter' > /var/lib/kprov/before/nft-tables")
    room.text("echo 'ip filter FORWARD' > /var/lib/kprov/before/nft-chains")
    room.stub(
        "nft",
        """case "$*" in
        'list chains') cat /srv/chains ;;
        'list chain ip filter INPUT') cat /srv/ruled ;;
        'list chain '*) cat /srv/empty ;;
        delete*) echo "$*" >> /srv/calls ;;
        esac""",
    )
    down_program(room)
    calls = room.text("cat /srv/calls").splitlines()
    assert [call for call in calls if call.startswith("delete chain")] == ["delete chain ip filter OUTPUT"]


@pytest.mark.parametrize(
    ("link", "after"),
    [("docker0/uevent", "1"), ("wg0/uevent", "1"), ("tun0/tun_flags", "1"), ("cni0/uevent", "0"), ("eth0/uevent", "0")],
)
def test_forwarding_that_others_need_by_now_stays(room: Room, link: str, after: str) -> None:
    """Docker that was installed after the host had joined: with what was there before, no container would be reached."""
    room.text("mkdir -p /srv/net/ipv4 && echo 0 > /srv/net/ipv4/ip_forward && mount --bind /srv/net /proc/sys/net")
    batch = Batch()
    batch.know(("sysctl", "net.ipv4.ip_forward"), "1")
    batch.add("sysctl", wire.Sysctl(name="net.ipv4.ip_forward", value="1"))
    assert room.apply(batch)[-1] == ["done", "0", "-"]
    kind = {"wg0": "wireguard", "eth0": ""}.get(link.split("/")[0], "bridge")
    room.text(
        f"mkdir -p /srv/links/{link.split('/')[0]} && printf 'INTERFACE=x\\n{f'DEVTYPE={kind}' if kind else ''}\\n' "
        f"> /srv/links/{link} && mount --bind /srv/links /sys/class/net"
    )
    seen, batch = room.observe(), Batch()
    write_removal(batch, ("sysctl", "net.ipv4.ip_forward"), seen)
    answers = room.apply(batch)
    assert answers[-1] == ["done", "0", "-"]
    assert any(row[0] == "note" for row in answers) == (after == "1")
    assert room.text("cat /proc/sys/net/ipv4/ip_forward").strip() == after
    assert "sysctl" not in room.text("cut -f 1 /var/lib/kprov/ledger")


def test_a_module_that_another_bridge_may_use_by_now_stays(room: Room) -> None:
    room.stub("modprobe", 'echo "$*" >> /srv/asked')
    for name in ("br_netfilter", "vxlan", "docker0", "br_netfilter", "vxlan"):
        if name == "docker0":
            room.text("mkdir -p /srv/links/docker0 && echo DEVTYPE=bridge > /srv/links/docker0/uevent")
            continue
        room.text("mkdir -p /srv/links; mountpoint -q /sys/class/net || mount --bind /srv/links /sys/class/net")
        batch = Batch()
        batch.add(name, wire.RemoveModule(name=name, before="absent"))
        assert room.apply(batch)[-1] == ["done", "0", "-"]
    assert room.text("cat /srv/asked").splitlines() == ["-r br_netfilter", "-r vxlan", "-r vxlan"]
