"""apply.sh itself, run for real in a mount namespace where the folders that kprov writes to are empty: how files arrive."""

from __future__ import annotations

import gzip
import hashlib
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from apply_room import Room

from kprov.apply import wire
from kprov.apply.batch import Batch
from kprov.apply.scripts import LOCK_COMMAND
from kprov.observe.probe import PROBE_COMMAND, Question, probe_program

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="a mount namespace with file systems of its own needs root")

SLACK = 9  # processes that flush large files meanwhile: three for each second that an apply takes


def file(batch: Batch, path: str, content: bytes, owner: str = "root", mode: str = "0644") -> None:
    batch.know(("file", path))
    name = batch.attach(content, path)
    sha256 = hashlib.sha256(content).hexdigest()
    operation = wire.File(payload=name, path=path, owner=owner, group=owner, mode=mode, sha256=sha256)
    batch.add(f"file {path}", operation)


def binary(batch: Batch, path: str, content: bytes, encoding: wire.Encoding, sha256: str) -> None:
    batch.know(("binary", path))
    packed = gzip.compress(content) if encoding == "gzip" else content
    source = batch.attach(packed)
    batch.add(f"binary {path}", wire.Binary(path=path, mode="0755", sha256=sha256, source=source, encoding=encoding))


def test_files_arrive_with_content_owner_and_mode_and_are_recorded(room: Room) -> None:
    batch = Batch()
    file(batch, "/srv/a/one.conf", b"one\n")
    file(batch, "/srv/a/two words.key", b"\0secret\n", "daemon", "0600")
    file(batch, "/opt/three", b"", "root", "0640")
    assert room.apply(batch)[-1] == ["done", "0", "-"]
    assert room.text("stat -c '%n %a %U:%G %s' /srv/a/* /opt/three").splitlines() == [
        "/srv/a/one.conf 644 root:root 4",
        "/srv/a/two words.key 600 daemon:daemon 8",
        "/opt/three 640 root:root 0",
    ]
    recorded = [line.split("\t") for line in room.text("cat /var/lib/kprov/ledger").splitlines()]
    assert {row[1]: row[2] for row in recorded} == {
        "/srv/a/one.conf": hashlib.sha256(b"one\n").hexdigest(),
        "/srv/a/two words.key": hashlib.sha256(b"\0secret\n").hexdigest(),
        "/opt/three": hashlib.sha256(b"").hexdigest(),
    }
    assert room.leftovers() == ""


def test_a_ledger_with_its_old_name_is_read_and_gets_the_new_one(room: Room) -> None:
    """On hosts of an older kprov: what it made stays recorded, and what was there before is not looked at again."""
    room.text("mkdir -p /var/lib/kprov && printf 'file\\t/srv/a/old\\th\\t-\\tsaved\\n' > /var/lib/kprov/manifest")
    assert room.observe().records["file", "/srv/a/old"].before == "saved"
    batch = Batch()
    file(batch, "/srv/a/one.conf", b"one\n")
    assert room.apply(batch)[-1] == ["done", "0", "-"]
    assert room.text("cut -f 2 /var/lib/kprov/ledger; ls /var/lib/kprov").split() == [
        *("/srv/a/old", "/srv/a/one.conf", "apply.lock", "generation", "ledger", "stamps"),
    ]
    assert set(room.observe().records) == {("file", "/srv/a/old"), ("file", "/srv/a/one.conf")}


def directory(batch: Batch, path: str, owner: str = "root", mode: str = "0755") -> None:
    batch.know(("directory", path), "keep")
    operation = wire.Directory(path=path, owner=owner, group=owner, mode=mode, content="keep")
    batch.add(f"directory {path}", operation)


def test_directories_are_made_in_order_with_owner_and_mode_beside_files(room: Room) -> None:
    room.text("mkdir /srv/old; chmod 0700 /srv/old")
    batch = Batch()
    directory(batch, "/srv/old")
    directory(batch, "/srv/a/new")
    directory(batch, "/srv/a/two words")
    directory(batch, "/srv/a/keys", "daemon", "0700")
    file(batch, "/srv/a/keys/one", b"one\n")
    directory(batch, "/srv/a/keys/deep", "daemon", "0750")
    directory(batch, "/srv/last")
    answers = room.apply(batch)
    assert [row[:2] for row in answers] == [*(["ok", str(number)] for number in range(1, 8)), ["done", "0"]]
    assert room.text("stat -c '%n %a %U:%G' /srv/old /srv/a/* /srv/a/keys/* /srv/last").splitlines() == [
        "/srv/old 755 root:root",
        "/srv/a/keys 700 daemon:daemon",
        "/srv/a/new 755 root:root",
        "/srv/a/two words 755 root:root",
        "/srv/a/keys/deep 750 daemon:daemon",
        "/srv/a/keys/one 644 root:root",
        "/srv/last 755 root:root",
    ]
    recorded = [line.split("\t")[:3] for line in room.text("cat /var/lib/kprov/ledger").splitlines()]
    assert ["directory", "/srv/a/two words", "keep"] in recorded


def test_a_file_in_the_place_of_a_directory_is_named_and_stays(room: Room) -> None:
    room.text("echo theirs > /srv/a/in-the-way")
    batch = Batch()
    directory(batch, "/srv/a/in-the-way")
    assert room.apply(batch)[-1][:2] == ["fail", "1"]
    assert room.text("cat /srv/a/in-the-way") == "theirs\n"


def test_a_directory_that_cannot_be_made_is_named(room: Room) -> None:
    room.text("echo theirs > /srv/a/file")
    batch = Batch()
    directory(batch, "/srv/a/good")
    directory(batch, "/srv/a/file/below")
    directory(batch, "/srv/a/late")
    answers = room.apply(batch)
    assert answers[-1][:2] == ["fail", "2"]
    assert "/srv/a/file/below" in answers[-1][2]


def test_many_directories_start_no_more_programs_than_few(room: Room) -> None:
    def cost(count: int) -> int:
        batch = Batch()
        for number in range(count):
            directory(batch, f"/srv/a/{count}-{number}")
        return room.cost(batch)

    cost(1)
    assert cost(30) - cost(2) <= SLACK


@pytest.mark.parametrize("encoding", ["gzip", "raw"])
def test_a_program_is_installed_only_when_it_hashes_right(room: Room, encoding: wire.Encoding) -> None:
    content = b"program" * 1000
    good, bad = Batch(), Batch()
    binary(bad, "/opt/kprov/bin/x", content, encoding, "0" * 64)
    answers = room.apply(bad)
    assert answers[-1][:2] == ["fail", "1"]
    assert hashlib.sha256(content).hexdigest() in answers[-1][2]
    assert room.text("ls -A /opt/kprov/bin") == ""
    binary(good, "/opt/kprov/bin/x", content, encoding, hashlib.sha256(content).hexdigest())
    assert room.apply(good)[-1][0] == "done"
    assert room.text("stat -c '%a %U' /opt/kprov/bin/x; sha256sum < /opt/kprov/bin/x") == (
        f"755 root\n{hashlib.sha256(content).hexdigest()}  -\n"
    )
    assert room.leftovers() == ""


def test_an_image_is_given_to_the_runtime_only_when_it_hashes_right(room: Room) -> None:
    """Its runtime's client is a script that writes down what it is asked for."""
    client = '#!/bin/sh\necho "$@" >> /srv/asked\n'
    room.sh("mkdir -p /opt/kprov/bin && cat > /opt/kprov/bin/ctr && chmod 755 /opt/kprov/bin/ctr", client.encode())
    content = b"image" * 1000

    def given(sha256: str) -> list[list[str]]:
        batch = Batch()
        batch.know(("image", "r/one:1"))
        source = batch.attach(gzip.compress(content))
        batch.add("image r/one:1", wire.Image(name="r/one:1", source=source, encoding="gzip", sha256=sha256))
        return room.apply(batch)

    answers = given("0" * 64)
    assert answers[-1][:2] == ["fail", "1"]
    assert hashlib.sha256(content).hexdigest() in answers[-1][2]
    assert room.text("cat /srv/asked 2> /dev/null; true") == ""
    assert given(hashlib.sha256(content).hexdigest())[-1][0] == "done"
    imported, pinned = room.text("cat /srv/asked").splitlines()
    assert "images import" in imported
    assert pinned.endswith("-n k8s.io images label r/one:1 io.cri-containerd.pinned=pinned")


@pytest.mark.parametrize(
    ("store", "program"),
    [
        ("/run/crio/crio.sock", "/usr/local/sbin/skopeo"),
        ("/run/docker.sock", "/usr/local/sbin/curl"),
        ("", "/opt/kprov/bin/ctr"),
    ],
)
def test_roots_of_images_are_open_to_their_users(room: Room, store: str, program: str) -> None:
    """skopeo unpacks layers itself: below its own umask, the root of a layer would be closed to all but root."""
    room.stub(program, "mkdir /srv/layer; echo 'Loaded image'")
    content, name = b"image", f"r/one:1 {store}".strip()
    batch = Batch()
    batch.know(("image", name))
    source, sha256 = batch.attach(gzip.compress(content)), hashlib.sha256(content).hexdigest()
    batch.add(f"image {name}", wire.Image(name=name, source=source, encoding="gzip", sha256=sha256))
    assert room.apply(batch)[-1][0] == "done"
    assert room.text("stat -c %a /srv/layer") == "755\n"


def test_folders_that_packages_make_are_open_to_their_users(room: Room) -> None:
    room.stub("/usr/local/sbin/dnf", "mkdir /srv/made")
    batch = Batch()
    batch.add("package skopeo", wire.Package(name="skopeo", command="skopeo", service="", manager="dnf"))
    assert room.apply(batch)[-1][0] == "done"
    assert room.text("stat -c %a /srv/made") == "755\n"


@pytest.fixture
def group() -> Iterator[Path]:
    """A cgroup with one below it, as a unit with Delegate= has them, in the hierarchy that systemd keeps units in."""
    root = Path("/sys/fs/cgroup")
    made = (root / "systemd" if (root / "systemd").is_dir() else root) / f"kprov-contract-{os.getpid()}"
    (made / "below").mkdir(parents=True)
    yield made
    (made / "below").rmdir()
    made.rmdir()


@pytest.mark.parametrize("kind", [wire.Stop, wire.RemoveUnit])
def test_nothing_of_a_unit_that_goes_lives_on(room: Room, group: Path, kind: type[wire.Stop | wire.RemoveUnit]) -> None:
    """As shims of containers do after their runtime was stopped: KillMode=process spares them."""
    room.stub("/usr/local/sbin/systemctl", f'case "$*" in *ControlGroup*) echo /{group.name} ;; esac')
    stubborn = f"echo $$ > {group}/below/cgroup.procs; trap '' TERM; echo ready; while :; do sleep 1; done"
    entered = ["nsenter", "-t", str(room.pid), "-m", "-p", "sh", "-c", stubborn]
    with subprocess.Popen(entered, stdout=subprocess.PIPE) as shim:
        try:
            assert shim.stdout is not None
            assert shim.stdout.readline() == b"ready\n"
            batch = Batch()
            batch.know(("unit", "containerd.service"))
            batch.add("unit containerd.service", kind(unit="containerd.service"))
            assert room.apply(batch)[-1][0] == "done"
            assert shim.wait(timeout=30) == -signal.SIGKILL
        finally:
            shim.kill()


@pytest.mark.parametrize(
    ("state", "cause"),
    [
        ("failed", "kernel does not support overlay fs"),
        ("active", "validate service connection: refused"),
    ],
)
def test_a_gate_that_does_not_pass_gives_the_cause_first(room: Room, state: str, cause: str) -> None:
    """Not what the client that asks has to say about its own configuration."""
    room.stub(
        "/usr/local/sbin/systemctl",
        f"case $1 in is-active) [ {state} = active ] ;; show) case $* in *ActiveState*) echo {state} ;; esac ;; esac",
    )
    room.stub(
        "/usr/local/sbin/journalctl",
        """case "$*" in *_SYSTEMD_UNIT*) ;; *) echo 'crio.service: Scheduled restart job' ;; esac
        echo 'kernel does not support overlay fs'""",
    )
    room.stub(
        "/opt/kprov/bin/crictl",
        """echo 'time="now" level=warning msg="Config \\"/etc/crictl.yaml\\" does not exist"'
        echo 'validate service connection: refused'; exit 1""",
    )
    batch = Batch()
    argument = "/opt/kprov/bin/crictl version"
    batch.add("gate", wire.Gate(unit="crio.service", kind="command", seconds=0, argument=argument))
    *_, (word, _, log) = room.apply(batch)
    assert word == "fail"
    assert log.splitlines()[0] == cause
    assert "level=warning" not in log
    assert "Scheduled restart job" in log


@pytest.mark.parametrize(
    ("row", "details", "log"),
    [
        ("io.containerd.grpc.v1    cri    -    ok    ", "", None),
        ("io.containerd.grpc.v1    cri    -    error    ", "  Message:    no such runtime", "no such runtime"),
        ("", "", "containerd did not load its CRI plugin"),  # it is switched off
    ],
)
def test_a_containerd_that_answers_without_cri_does_not_pass(
    room: Room, row: str, details: str, log: str | None
) -> None:
    room.stub("/usr/local/sbin/systemctl", "case $* in *ActiveState*) echo active ;; esac")
    room.stub(
        "/opt/kprov/bin/ctr",
        f"""[ "$2" = /run/x.sock ] || exit 1
        case "$*" in *' -d '*) echo 'Error:'; echo '{details}' ;; *) echo 'TYPE  ID'; echo '{row}' ;; esac""",
    )
    batch = Batch()
    batch.add("gate", wire.Gate(unit="containerd.service", kind="cri", seconds=0, argument="/run/x.sock"))
    *_, answer = room.apply(batch)
    assert answer[0] == ("done" if log is None else "fail")
    assert log is None or answer[2].splitlines()[0] == log


def test_a_runtimes_table_is_dropped_where_it_is(room: Room) -> None:
    room.stub("/usr/local/sbin/nft", 'echo "$@" >> /srv/asked; case "$*" in "list table ip6"*) exit 1 ;; esac')
    batch = Batch()
    batch.add("table", wire.DropTable(family="ip", name="crio-hostports"))
    batch.add("table", wire.DropTable(family="ip6", name="crio-hostports"))
    assert room.apply(batch)[-1][0] == "done"
    assert "delete table ip crio-hostports" in room.text("cat /srv/asked")
    assert "delete table ip6" not in room.text("cat /srv/asked")


def test_a_full_disk_is_told_of_the_file_that_met_it_and_no_half_file_is_left(room: Room) -> None:
    room.text("echo old > /srv/full/big; echo old > /srv/full/small")
    batch = Batch()
    file(batch, "/srv/full/small", b"new\n")
    file(batch, "/srv/full/big", os.urandom(200_000))
    answers = room.apply(batch)
    assert answers[-1][:2] == ["fail", "2"]
    assert "No space left on device" in answers[-1][2]
    assert "/srv/full/" in answers[-1][2]
    assert room.text("cat /srv/full/big /srv/full/small") == "old\nold\n"
    assert room.leftovers() == ""
    room.text("mount -o remount,size=1m /srv/full")
    assert room.apply(batch)[-1][0] == "done"
    assert room.text("stat -c %s /srv/full/big") == "200000\n"


def test_a_folder_or_a_link_in_the_way_is_replaced(room: Room) -> None:
    room.text("mkdir -p /srv/a/one/deep; echo theirs > /srv/theirs; ln -s /srv/theirs /srv/a/two")
    batch = Batch()
    file(batch, "/srv/a/one", b"one\n")
    file(batch, "/srv/a/two", b"two\n")
    assert room.apply(batch)[-1][0] == "done"
    assert (
        room.text("cat /srv/a/one /srv/a/two /srv/theirs; stat -c %F /srv/a/two") == "one\ntwo\ntheirs\nregular file\n"
    )


def test_what_a_killed_apply_left_is_swept_by_the_next(room: Room) -> None:
    room.text("mkdir -p /var/lib/kprov /srv/a/.kprov-new; echo secret > /srv/a/.kprov-new/half.key")
    room.text("echo /srv/a > /var/lib/kprov/unfinished")
    assert room.apply(Batch()) == [["done", "0", "-"]]
    assert room.leftovers() == ""


def test_the_run_lock_is_held_by_whom_it_was_told_whatever_stands_in_the_name(room: Room) -> None:
    who = "ops@desk pid 3 '; touch /srv/a/pasted; echo $(touch /srv/a/pasted)"
    command = ["nsenter", "-t", str(room.pid), "-m", "-p", "sh", "-c", LOCK_COMMAND]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        holder.stdin.write(f"{who}\n".encode())
        holder.stdin.flush()
        assert holder.stdout.readline() == b"locked \n"
        assert room.sh(LOCK_COMMAND, b"another\n").stdout.decode() == f"held {who}\n"
        holder.stdin.close()
    assert room.sh(LOCK_COMMAND, b"another\n").stdout == b"locked \n"
    assert room.text("ls /srv/a") == ""


def test_what_was_there_before_is_kept_once(room: Room) -> None:
    room.text("echo theirs > /srv/a/one")
    for content in (b"first\n", b"second\n"):
        batch = Batch()
        file(batch, "/srv/a/one", content)
        assert room.apply(batch)[-1][0] == "done"
    assert room.text("cat /srv/a/one /var/lib/kprov/before/srv/a/one") == "second\ntheirs\n"
    assert room.text("cut -f 5 /var/lib/kprov/ledger") == "saved\n"


LISTEN = """import socket, sys
server = socket.socket(socket.AF_UNIX)
server.bind(sys.argv[1])
server.listen()
print("listening", flush=True)
sys.stdin.read()
"""


def test_what_a_stopped_program_left_in_run_goes_and_a_socket_in_use_stays(room: Room) -> None:
    """Docker's shims listen below /run/containerd, too, whichever containerd they were started by."""
    room.text("mkdir -p /run/containerd/s /run/containerd/task/x; echo 1 > /run/containerd/task/x/pid")
    for path in ("/run/containerd/s/theirs", "/run/containerd/ours.sock"):
        room.text(f"python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"{path}\")'")
    room.text("rm /run/containerd/s/theirs; mkfifo /run/containerd/fifo")
    command = ["nsenter", "-t", str(room.pid), "-m", "-p", "python3", "-c", LISTEN, "/run/containerd/s/theirs"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        assert server.stdout.readline() == b"listening\n"
        batch = Batch()
        batch.add("what is left", wire.Clear(path="/run/containerd"))
        batch.add("what is not there", wire.Clear(path="/run/other.sock"))
        assert room.apply(batch)[-1] == ["done", "0", "-"]
        assert room.text("find /run/containerd ! -type d") == "/run/containerd/s/theirs\n"
        server.stdin.close()
    assert room.apply(batch)[-1] == ["done", "0", "-"]
    assert room.text("find /run ! -type d; ls -d /run/containerd 2> /dev/null; true") == ""


def test_many_files_start_no_more_programs_than_few(room: Room) -> None:
    def cost(count: int) -> int:
        batch = Batch()
        for number in range(count):
            file(batch, f"/srv/a/{count}-{number}", b"x")
        return room.cost(batch)

    cost(1)  # the first apply on a host looks at more
    assert cost(50) - cost(2) <= SLACK


def test_asking_about_much_starts_no_more_programs_than_asking_about_little(room: Room) -> None:
    def cost(count: int, *, facts: bool) -> int:
        keys = [(kind, f"/srv/{number}") for kind in ("file", "directory") for number in range(count)]
        keys += [(kind, f"x{number}") for kind in ("user", "sysctl", "module", "package") for number in range(count)]
        before = room.started()
        assert room.sh(PROBE_COMMAND, probe_program(Question(keys=keys, facts=facts).queries())).returncode == 0
        return room.started() - before

    assert cost(40, facts=True) == cost(1, facts=True)
    assert cost(40, facts=False) <= 30


def test_asking_about_fifty_paths_takes_at_most_40_kilobytes(room: Room) -> None:
    """The gate of docs/cost-model.md for a run that changes nothing, both directions, one exec."""
    batch = Batch()
    paths = [f"/srv/a/a-name-of-ordinary-length-{number:02d}.conf" for number in range(50)]
    for path in paths:
        file(batch, path, b"x")
    assert room.apply(batch)[-1][0] == "done"
    program = probe_program(Question(keys=[("file", path) for path in paths]).queries())
    answer = room.sh(PROBE_COMMAND, program)
    assert {path for path in paths if path.encode() in answer.stdout} == set(paths)
    # Labs and whatever else runs on this computer have links and ports of their own.
    others = (b"link\t", b"address\t", b"listener\t", b"udp\t", b"disk\t")
    rows = [row for row in answer.stdout.splitlines(keepends=True) if not row.startswith(others)]
    assert len(program) + sum(map(len, rows)) + len(answer.stderr) <= 39_500
