"""What the lab concludes from this host's files, and the commands and rules it makes from a lab."""

from __future__ import annotations

import fcntl
import os
import sys
from pathlib import Path

import pytest
from lab_values import a_lab

from kprov.lab import base, borrowed, cgroups, commands, guest, mounts, network, nspawn, process
from kprov.lab.locks import locked
from kprov.values.errors import LabError

V1 = """\
30 24 0:26 / /sys/fs/cgroup ro,nosuid - tmpfs tmpfs ro,mode=755
31 30 0:27 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
32 30 0:28 / /sys/fs/cgroup/unified rw,relatime shared:4 - cgroup2 cgroup2 rw
33 24 0:29 / /mnt/other rw,relatime - cgroup cgroup rw,memory
"""
V2 = "31 24 0:27 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"


def test_hierarchies_of_a_host_with_cgroup_v1() -> None:
    seen = cgroups.hierarchies(V1)
    assert seen.version == 1
    assert seen.groups("kprov-a-b") == (
        Path("/sys/fs/cgroup/memory/kprov-a-b"),
        Path("/sys/fs/cgroup/unified/kprov-a-b"),
    )


def test_hierarchies_of_a_host_with_cgroup_v2() -> None:
    seen = cgroups.hierarchies(V2)
    assert (seen.version, seen.folders) == (2, (Path("/sys/fs/cgroup"),))


def test_frozen_processes_are_let_go_on_so_that_they_can_be_killed(tmp_path: Path) -> None:
    deep = tmp_path / "machine" / "pods" / "container"
    deep.mkdir(parents=True)
    (deep / "freezer.state").write_text("FROZEN")
    (tmp_path / "machine" / "cgroup.freeze").write_text("1")
    cgroups.thaw([tmp_path / "machine", tmp_path / "gone"])
    assert (deep / "freezer.state").read_text() == "THAWED"
    assert (tmp_path / "machine" / "cgroup.freeze").read_text() == "0"


def test_a_host_without_control_groups_is_refused() -> None:
    with pytest.raises(LabError, match="no cgroups"):
        cgroups.hierarchies("1 0 0:1 / / rw - ext4 /dev/sda rw\n")


def test_processes_of_groups_inside_groups_are_found(tmp_path: Path) -> None:
    (tmp_path / "a/inner").mkdir(parents=True)
    (tmp_path / "a/cgroup.procs").write_text("1\n0\n")
    (tmp_path / "a/inner/cgroup.procs").write_text("22\n")
    assert cgroups.processes([tmp_path / "a", tmp_path / "gone"]) == {1, 22}


def test_mount_points_are_unescaped() -> None:
    text = "31 24 0:27 / /a\\040b rw - tmpfs tmpfs rw\n32 24 0:27 / /\\303\\244 rw shared:1 - tmpfs tmpfs rw\n"
    assert mounts.mount_points(text) == (Path("/a b"), Path("/ä"))


STAT = "4242 (a) b (c) S 17 4242 4242 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 1000 2000 rest"


def test_a_process_is_read_past_a_name_with_brackets() -> None:
    assert process.parse_stat(STAT) == process.Process(pid=4242, parent=17, start=987654)


def test_a_text_that_is_no_stat_is_refused() -> None:
    with pytest.raises(ValueError, match="not the text"):
        process.parse_stat("4242 (a) S 17")


def test_a_keeper_of_an_earlier_boot_is_nobody() -> None:
    assert process.parse_keeper(f"boot-a\n{STAT}\n", "boot-a") == process.parse_stat(STAT)
    assert process.parse_keeper(f"boot-a\n{STAT}\n", "boot-b") is None


def test_a_process_with_our_number_and_another_start_is_not_us() -> None:
    own = process.parse_stat(Path("/proc/self/stat").read_text())
    assert own.pid == os.getpid()
    assert process.is_alive(own)
    other = process.Process(pid=own.pid, parent=own.parent, start=own.start - 1)
    assert not process.is_alive(other)
    process.kill(other)  # we would not live to see the end of this test


def test_the_container_command_names_bridge_root_and_real_folders() -> None:
    lab = a_lab()
    argv = nspawn.arguments(lab, lab.machine("w1"), kernel_modules=None)
    assert "--network-bridge=kprov-lab7" in argv
    assert "--directory=/var/lib/kprov-lab/demo/machines/w1/root" in argv
    assert "--machine=kprov-demo-w1" in argv
    assert "--hostname=w1" in argv
    data = "/var/lib/kprov-lab/demo/machines/w1/data"
    assert [one for one in argv if one.startswith("--bind=/var")] == [
        *(f"--bind={data}/{name}:/var/lib/{name}" for name in ("containerd", "docker", "crio", "kubelet", "etcd")),
        f"--bind={data}/srv:/srv",
    ]
    assert not [one for one in argv if one.startswith("--bind-ro")]


def test_the_hosts_kernel_modules_are_shown_read_only() -> None:
    lab = a_lab()
    argv = nspawn.arguments(lab, lab.machine("w1"), kernel_modules=Path("/usr/lib/modules"))
    assert argv[-1] == "--bind-ro=/usr/lib/modules:/lib/modules"


def test_only_what_leaves_the_lab_is_masqueraded() -> None:
    lab = a_lab()
    text = network.ruleset(lab.nft_table, lab.network, lab.bridge)
    assert "table ip kprov_lab7 {" in text
    assert 'ip saddr 10.77.7.0/24 ip daddr != 10.77.7.0/24 oifname != "kprov-lab7" masquerade' in text


def test_the_guests_interface_has_its_static_address() -> None:
    lab = a_lab()
    text = guest.network_file(lab, lab.machine("w1"))
    assert "Name=host0" in text
    assert "Address=10.77.7.12/24\nGateway=10.77.7.1\n" in text


def test_every_user_gets_the_labs_key_and_nobody_the_password() -> None:
    lab = a_lab()
    files = {path: (mode, text) for path, mode, text in guest.text_files(lab, lab.machine("cp1"), "ssh-ed25519 KEY")}
    for home in ("root", "home/admin", "home/deploy"):
        assert files[f"{home}/.ssh/authorized_keys"] == (0o600, "ssh-ed25519 KEY\n")
    assert not [path for path, (_, text) in files.items() if "hunter2" in text]


def test_private_files_are_never_open_to_others(tmp_path: Path) -> None:
    (tmp_path / ".key.new").write_text("left by a run that was killed")
    guest.write_private(tmp_path / "key", b"secret")
    assert (tmp_path / "key").read_bytes() == b"secret"
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["key"]


def test_host_settings_are_changed_only_where_needed() -> None:
    assert borrowed.desired({borrowed.FORWARDING: "0", borrowed.INSTANCES: "128"}) == {
        borrowed.FORWARDING: "1",
        borrowed.INSTANCES: "8192",
    }
    assert borrowed.desired({borrowed.FORWARDING: "1", borrowed.INSTANCES: "65536", "kernel/panic": "0"}) == {}


def test_host_settings_go_back_to_what_they_were() -> None:
    before = {borrowed.FORWARDING: "0", "kernel/panic": "0", "vm/gone": "1"}
    assert borrowed.to_restore(before, {borrowed.FORWARDING: "1", "kernel/panic": "0"}) == {borrowed.FORWARDING: "0"}


def test_a_base_has_another_name_when_its_content_differs(monkeypatch: pytest.MonkeyPatch) -> None:
    name = base.key("bookworm", "x86_64")
    assert name.startswith("base-bookworm-")
    assert name == base.key("bookworm", "x86_64")
    assert name != base.key("bookworm", "aarch64")
    monkeypatch.setattr(base, "PREFETCHED", ("other",))
    assert name != base.key("bookworm", "x86_64")


ALL = dict.fromkeys(commands.PROGRAMS, True)


def test_another_system_is_refused() -> None:
    with pytest.raises(LabError, match="need Linux"):
        commands.require_host("Darwin", 0, ALL, ())


def test_a_user_who_is_not_root_is_refused() -> None:
    with pytest.raises(LabError, match="need root") as caught:
        commands.require_host("Linux", 1000, ALL, ())
    assert "sudo" in caught.value.todo


def test_missing_programs_are_named_with_the_command_that_installs_them() -> None:
    with pytest.raises(LabError) as caught:
        commands.require_host("Linux", 0, {**ALL, "debootstrap": False, "systemd-nspawn": False}, {"container"})
    assert caught.value.found == "no debootstrap, systemd-nspawn"
    assert caught.value.todo == "apt-get install debootstrap systemd-container"
    commands.require_host("Linux", 0, ALL, {"container"})


def test_too_little_space_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="too little disk space") as caught:
        commands.require_space(tmp_path, 2**60)
    assert caught.value.where == str(tmp_path)


def test_a_failing_program_is_shown_with_the_end_of_what_it_said_and_not_its_input() -> None:
    script = "import sys; sys.stdin.read(); [print(i, file=sys.stderr) for i in range(99)]; sys.exit(3)"
    with pytest.raises(LabError) as caught:
        commands.run([sys.executable, "-c", script], text="hunter2")
    assert "returned 3" in caught.value.found
    assert caught.value.log.splitlines()[-1] == "98"
    assert "hunter2" not in str(caught.value)


def test_a_missing_program_is_an_error_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "PROGRAMS", {"no-such-program-here": "some-package"})
    with pytest.raises(LabError) as caught:
        commands.run(["no-such-program-here"])
    assert caught.value.todo == "apt-get install some-package"


def test_a_lock_that_is_held_is_refused_after_its_time(tmp_path: Path) -> None:
    held = os.open(tmp_path, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(LabError, match="another run is working on x"), locked(tmp_path, what="x", timeout=0):
            pytest.fail("two runs hold the same lock")
    finally:
        os.close(held)
    with locked(tmp_path, what="x", timeout=0):
        pass
