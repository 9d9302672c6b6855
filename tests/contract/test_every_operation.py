"""What each operation does on a host, with stand-ins for the programs that it calls, which write down what they are asked."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from apply_room import Room

from kprov.apply import wire
from kprov.apply.batch import Batch
from kprov.apply.wire_format import OPERATIONS, Operation
from kprov.plan import kube_answers

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="a mount namespace with file systems of its own needs root")

APPLYING = "|".join(kube_answers.APPLYING)
LOGGED = 'echo "${0##*/} $*" >> /srv/asked'


def done(room: Room, *operations: Operation, know: tuple[str, ...] = (), **payload: bytes) -> list[str]:
    """The last answer of an apply. know: `kind name` that the ledger is told first."""
    batch = Batch()
    for key in know:
        kind, _, name = key.partition(" ")
        batch.know((kind, name))
    for name, content in payload.items():
        batch.attach_as(name, content)
    for operation in operations:
        batch.add(operation.word, operation)
    return room.apply(batch)[-1]


def asked(room: Room) -> list[str]:
    return room.text("cat /srv/asked 2> /dev/null; true").splitlines()


def ledger(room: Room) -> dict[tuple[str, str], str]:
    """Kind and name → value."""
    rows = [line.split("\t") for line in room.text("cat /var/lib/kprov/ledger").splitlines()]
    return {(row[0], row[1]): row[2] for row in rows}


OK = ["done", "0", "-"]


def test_every_operation_is_run_by_a_contract_test() -> None:
    texts = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    used = set(re.findall(r"\bwire\.([A-Z]\w+)\(", texts)) | set(re.findall(r"\bwire\.([A-Z]\w+)[\],]", texts))
    by_builder = {
        "Check",
        "RemoveUser",
        "Steady",
        "Started",
        "GiveBackUnit",
        "Remove",
        "RemoveUnit",
        "RemoveDirectory",
    }
    assert {kind.__name__ for kind in OPERATIONS.values()} <= used | by_builder


def test_mode_and_owner_are_set_and_the_record_stays(room: Room) -> None:
    room.text("echo x > /srv/a/one; mkdir -p /var/lib/kprov")
    assert done(room, wire.Adopt(kind="file", name="/srv/a/one", value="h"), know=("file /srv/a/one",)) == OK
    assert done(room, wire.Mode(path="/srv/a/one", owner="daemon", group="daemon", mode="0640")) == OK
    assert room.text("stat -c '%a %U:%G' /srv/a/one") == "640 daemon:daemon\n"
    assert ledger(room) == {("file", "/srv/a/one"): "h"}
    answer = done(room, wire.Mode(path="/srv/a/none", owner="root", group="root", mode="0640"))
    assert answer[:2] == ["fail", "1"]


def test_a_file_is_taken_away_and_what_was_there_before_comes_back(room: Room) -> None:
    room.text("mkdir -p /var/lib/kprov/before/srv/a; echo theirs > /var/lib/kprov/before/srv/a/one")
    room.text("echo ours > /srv/a/one; echo ours > /srv/a/two")
    rows = "file\\t/srv/a/one\\th\\t-\\tsaved\\nfile\\t/srv/a/two\\th\\t-\\tabsent\\n"
    room.text(f"printf '{rows}' > /var/lib/kprov/ledger")
    gone = (
        wire.Remove(kind="file", path="/srv/a/one", before="saved"),
        wire.Remove(kind="file", path="/srv/a/two", before="absent"),
    )
    assert done(room, *gone) == OK
    assert room.text("cat /srv/a/*") == "theirs\n"
    assert ledger(room) == {}


def test_modules_are_loaded_and_unloaded_unless_they_were_there(room: Room) -> None:
    room.stub("modprobe", LOGGED)
    assert done(room, wire.Module(name="vxlan"), know=("module vxlan",)) == OK
    assert ledger(room) == {("module", "vxlan"): "-"}
    assert done(room, wire.RemoveModule(name="vxlan", before="present")) == OK
    assert done(room, wire.RemoveModule(name="vxlan", before="absent")) == OK
    assert asked(room) == ["modprobe vxlan", "modprobe -r vxlan"]
    room.stub("modprobe", "echo not in this kernel >&2; exit 1")
    assert done(room, wire.Module(name="none"))[2] == "cannot load kernel module none: not in this kernel"


def test_a_kernel_parameter_is_set_and_set_back(room: Room) -> None:
    room.text("mkdir /srv/net && echo 0 > /srv/net/core && mount --bind /srv/net /proc/sys/net")
    assert done(room, wire.Sysctl(name="net.core", value="1"), know=("sysctl net.core",)) == OK
    assert room.text("cat /proc/sys/net/core; cut -f 5 /var/lib/kprov/ledger") == "1\n0\n"
    assert done(room, wire.RemoveSysctl(name="net.core", before="absent")) == OK
    assert room.text("cat /proc/sys/net/core") == "1\n"
    assert done(room, wire.RemoveSysctl(name="net.core", before="0")) == OK
    assert room.text("cat /proc/sys/net/core") == "0\n"
    answer = done(room, wire.Sysctl(name="net.none.such", value="1"))
    assert answer[2].startswith("cannot set sysctl net.none.such to 1")


def test_swap_goes_for_now_and_at_each_boot_and_comes_back(room: Room) -> None:
    room.text("cp -a /etc /srv/etc && mount --bind /srv/etc /etc")
    table = "# swap is ours\n/dev/sda1 / ext4 defaults 0 1\n/dev/sda2 none swap sw 0 0\n"
    room.sh("cat > /etc/fstab", table.encode())
    for name in ("swapoff", "swapon"):
        room.stub(name, LOGGED)
    room.stub("systemctl", f"{LOGGED}; [ $1 != is-enabled ] || cat /srv/state")
    room.text("echo static > /srv/state")
    assert done(room, wire.Swapoff(), know=("swap off",)) == OK
    assert room.text("cat /etc/fstab") == table.replace("/dev/sda2", "# kprov: /dev/sda2")
    room.text("echo masked > /srv/state")
    assert done(room, wire.Swapoff()) == OK, "somebody switched swap on again"
    assert done(room, wire.RemoveSwapoff(before="/dev/sda2 /swapfile")) == OK
    assert room.text("cat /etc/fstab") == table
    assert done(room, wire.RemoveSwapoff(before="none")) == OK
    looked, masked = "systemctl is-enabled swap.target", "systemctl mask swap.target"
    assert asked(room) == [
        *("swapoff -a", looked, masked, "swapoff -a", looked),
        *("systemctl unmask swap.target", "swapon /dev/sda2", "swapon /swapfile"),
    ]


def test_what_keeps_swap_away_for_others_stays(room: Room) -> None:
    """An administrator's own mask is not kprov's to take away."""
    room.text("cp -a /etc /srv/etc && mount --bind /srv/etc /etc && : > /etc/fstab")
    room.stub("swapoff", "exit 0")
    room.stub("systemctl", f"{LOGGED}; echo masked")
    assert done(room, wire.Swapoff(), know=("swap off",)) == OK
    assert done(room, wire.RemoveSwapoff(before="none")) == OK
    assert asked(room) == ["systemctl is-enabled swap.target"]


def test_swap_that_would_be_back_is_not_taken_for_off(room: Room) -> None:
    room.text("cp -a /etc /srv/etc && mount --bind /srv/etc /etc && : > /etc/fstab")
    room.stub("swapoff", "exit 0")
    room.stub("systemctl", "[ $1 != mask ] || { echo no >&2; exit 1; }")
    answer = done(room, wire.Swapoff(), know=("swap off",))
    assert answer[2] == "cannot keep swap off at the next boot (systemctl mask swap.target): no"


def test_stamps_are_written_and_go(room: Room) -> None:
    room.stub("systemctl", "exit 0")
    assert done(room, wire.Stamp(unit="x.service", value="v1"), know=("unit x.service",)) == OK
    assert room.text("cd /var/lib/kprov/stamps; cat x.service; ls -A") == "v1\nx.service\n"
    assert done(room, wire.Unstamp(unit="x.service")) == OK
    assert room.text("ls -A /var/lib/kprov/stamps") == ""


def test_units_are_enabled_before_systemd_reads_them_and_a_refusal_is_told(room: Room) -> None:
    room.stub("systemctl", LOGGED)
    assert done(room, wire.ReloadUnits(enable=("a.service", "b.service")), wire.ReloadUnits()) == OK
    assert asked(room) == [
        *("systemctl enable --no-reload -q a.service b.service", "systemctl daemon-reload", "systemctl daemon-reload"),
    ]
    room.stub("systemctl", "echo bad unit file >&2; exit 1")
    assert done(room, wire.ReloadUnits(enable=("a.service",)))[2] == "cannot enable a.service: bad unit file"
    assert done(room, wire.Restart(unit="a.service"))[2] == "cannot restart a.service: bad unit file"


def test_what_is_done_is_written_down_at_a_checkpoint_whatever_comes_next(room: Room) -> None:
    room.stub("systemctl", "exit 1")
    adopted = wire.Adopt(kind="file", name="/srv/a/one", value="h")
    answer = done(room, adopted, wire.Checkpoint(), wire.Restart(unit="x.service"), know=("file /srv/a/one",))
    assert answer[:2] == ["fail", "3"]
    assert ledger(room) == {("file", "/srv/a/one"): "h"}


@pytest.mark.parametrize(
    ("store", "asks"),
    [
        ("", "ctr --address /run/containerd/containerd.sock --connect-timeout 2s -n k8s.io images rm r/one:1"),
        ("/run/crio/crio.sock", "crictl --runtime-endpoint unix:///run/crio/crio.sock --timeout 10s rmi r/one:1"),
    ],
)
def test_an_image_is_removed_from_its_own_store_while_that_is_there(room: Room, store: str, asks: str) -> None:
    for name in ("ctr", "crictl"):
        room.stub(f"/opt/kprov/bin/{name}", LOGGED)
    removal = wire.RemoveImage(name=f"r/one:1 {store}".strip())
    assert done(room, removal) == OK
    assert asked(room) == [], "nobody listens there any more"
    socket = store or "/run/containerd/containerd.sock"
    room.text(f"mkdir -p {Path(socket).parent}; python3 -c 'import socket; socket.socket(1).bind(\"{socket}\")'")
    assert done(room, removal) == OK
    assert asked(room) == [asks]


def test_an_image_that_is_stored_already_is_pinned(room: Room) -> None:
    room.stub("/opt/kprov/bin/ctr", LOGGED)
    assert done(room, wire.PinImage(name="r/one:1"), wire.PinImage(name="r/one:1 /run/crio/crio.sock")) == OK
    told = "ctr --address /run/containerd/containerd.sock --connect-timeout 2s -n k8s.io images label r/one:1"
    assert asked(room) == [f"{told} io.cri-containerd.pinned=pinned"]
    room.stub("/opt/kprov/bin/ctr", "echo no such image; exit 1")
    assert done(room, wire.PinImage(name="r/one:1"))[2] == "cannot pin image r/one:1: no such image"


def test_pods_of_a_runtime_are_taken_down(room: Room) -> None:
    room.text("mkdir /run/crio; python3 -c 'import socket; socket.socket(1).bind(\"/run/crio/crio.sock\")'")
    room.stub("/opt/kprov/bin/crictl", LOGGED)
    assert done(room, wire.Sandboxes(store="/run/crio/none.sock"), wire.Sandboxes(store="/run/crio/crio.sock")) == OK
    assert asked(room) == ["crictl --runtime-endpoint unix:///run/crio/crio.sock --timeout 10s rmp -a -f"]


def test_a_program_of_ours_runs_with_its_word_and_its_failure_is_told(room: Room) -> None:
    program = b'echo "ran $1" >> /srv/asked; [ "$1" = pods ] || { echo no; exit 1; }'
    assert done(room, wire.Run(payload="p", argument="pods"), p=program) == OK
    assert done(room, wire.Run(payload="p", argument="all"), p=program) == ["fail", "1", "no"]
    assert asked(room) == ["ran pods", "ran all"]


def test_after_the_last_of_it_nothing_of_kprovs_own_is_left(room: Room) -> None:
    room.text("mkdir -p /run/kprov/cache")
    room.stub("systemctl", "exit 0")
    assert done(room, wire.Stamp(unit="x", value="1"), wire.StateGone(), know=("unit x",)) == OK
    assert room.text("ls -d /var/lib/kprov /run/kprov 2> /dev/null; true") == ""


# Kubernetes objects: kubectl is a script that answers by the count of its calls.

KUBECTL = """
    echo "$*" >> /srv/asked
    n=$(cat /srv/count 2> /dev/null || echo 0); echo $((n + 1)) > /srv/count
    case "$*" in *"$(cat /srv/what)"*) [ $n -ge 2 ] || { cat /srv/word >&2; exit 1; } ;; esac
    cat /srv/answer 2> /dev/null
"""


def kubectl(room: Room, word: str = "", what: str = "no such call", answer: str = "") -> None:
    """It refuses twice with a word what its arguments hold, then it answers."""
    room.stub("/opt/kprov/bin/kubectl", KUBECTL)
    for name, text in (("word", word), ("what", what), ("answer", answer)):
        room.sh(f"cat > /srv/{name}", text.encode())
    room.text("rm -f /srv/count /srv/asked")


@pytest.mark.parametrize(
    "word", ["connection refused", "is forbidden", "no matches for kind", "failed calling webhook"]
)
def test_objects_are_applied_again_while_what_the_server_says_passes(room: Room, word: str) -> None:
    kubectl(room, word, "apply")
    assert done(room, wire.Objects(payload="o", again=APPLYING), o=b"{}") == OK
    assert len(asked(room)) == 3
    assert "--force-conflicts --field-manager=kprov" in asked(room)[0]


def test_objects_that_are_refused_are_told_at_once(room: Room) -> None:
    kubectl(room, "The Deployment is invalid", "apply")
    assert done(room, wire.Objects(payload="o", again=APPLYING), o=b"{}") == ["fail", "1", "The Deployment is invalid"]
    assert len(asked(room)) == 1


def test_an_object_is_deleted_in_its_namespace_or_in_none(room: Room) -> None:
    kubectl(room)
    assert (
        done(room, wire.DeleteObject(kind="node", name="w1"), wire.DeleteObject(kind="pod", namespace="n", name="p"))[0]
        == "done"
    )
    assert [line.split("--wait=false ")[1] for line in asked(room)] == ["node w1", "-n n pod p"]


def answers(room: Room, *operations: Operation) -> list[list[str]]:
    batch = Batch()
    for operation in operations:
        batch.add(operation.word, operation)
    return [row[:2] for row in room.apply(batch)]


def test_pods_go_by_their_label_and_a_refusal_is_told(room: Room) -> None:
    kubectl(room)
    gone = wire.DeletePods(namespace="kube-system", label="kprov.io/reach=g1")
    assert done(room, gone) == OK
    assert "-n kube-system delete pods,networkpolicies -l kprov.io/reach=g1 --ignore-not-found" in asked(room)[0]
    kubectl(room, "Error from server (Forbidden): no", "delete pods,networkpolicies")
    assert answers(room, gone)[-1][0] == "fail"


def test_the_last_lines_of_a_unit_are_told(room: Room) -> None:
    room.stub("systemctl", "echo failed failed exit-code 1")
    room.stub("journalctl", "echo could not restore state")
    said = answers(room, wire.UnitLog(unit="kubelet.service"))
    assert [word for word, _ in said] == ["told", "ok", "done"]
