"""Virtual machines of a lab as values: QEMU's command, the files that make one, what this computer lacks."""

from __future__ import annotations

import dataclasses
import io
import itertools
import json
import socket
import tarfile
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from lab_values import a_lab

from kprov.lab import accelerators, commands, container, guest, image, kinds, layout, qemu, qmp, readiness, seed, vm
from kprov.lab.layout import Accelerator, Lab, Machine, MachineSpec, VmSize
from kprov.lab.readiness import Patience
from kprov.values.errors import LabError
from kprov.values.secret import Secret

NEW_YEAR = datetime(2027, 1, 1, 12, 30, tzinfo=UTC)


def a_mixed_lab(**size: int) -> Lab:
    """cp1 is a container, w1 a virtual machine."""
    lab = a_lab()
    first, second = lab.machines
    mixed = (first, dataclasses.replace(second, vm=VmSize(**size)))
    return dataclasses.replace(lab, machines=mixed, image=Path("/cache/image"), accelerator="tcg")


def command(lab: Lab, accelerator: Accelerator = "tcg") -> tuple[str, ...]:
    kernel, initrd = Path("/cache/vmlinuz"), Path("/cache/initrd.img")
    machine = lab.machine("w1")
    return qemu.arguments(lab, machine, kernel=kernel, initrd=initrd, accelerator=accelerator, clock=NEW_YEAR)


def after(argv: tuple[str, ...], option: str) -> list[str]:
    return [value for name, value in itertools.pairwise(argv) if name == option]


def test_a_virtual_machine_has_the_size_it_was_given() -> None:
    argv = command(a_mixed_lab(memory=3072, processors=4))
    assert after(argv, "-m") == ["3072M"]
    assert after(argv, "-smp") == ["4"]


def test_a_virtual_machine_starts_its_own_kernel_from_its_own_disk() -> None:
    argv = command(a_mixed_lab())
    assert after(argv, "-kernel") + after(argv, "-initrd") == ["/cache/vmlinuz", "/cache/initrd.img"]
    assert "root=/dev/vda" in after(argv, "-append")[0]
    disk, files = after(argv, "-drive")
    assert "file=/var/lib/kprov-lab/demo/machines/w1/disk.qcow2" in disk
    assert "file=/var/lib/kprov-lab/demo/machines/w1/seed.tar" in files
    assert "readonly=on" in files


def test_its_clock_starts_where_it_is_told_and_goes_on_with_this_computers() -> None:
    assert after(command(a_mixed_lab()), "-rtc") == ["base=2027-01-01T12:30:00,clock=host"]


def test_its_console_is_kept_over_starts() -> None:
    assert after(command(a_mixed_lab()), "-chardev") == [
        "file,id=console,path=/var/lib/kprov-lab/demo/machines/w1/console.log,append=on"
    ]


def test_kvm_and_emulation_have_processors_of_their_own() -> None:
    assert after(command(a_mixed_lab(), "kvm"), "-accel") == ["kvm"]
    # Kernels patch themselves while they run, which several emulating threads get wrong: they panic at boot.
    assert "tcg,thread=single" in after(command(a_mixed_lab(), "tcg"), "-accel")[0]


def test_the_end_of_its_cable_has_a_name_that_fits_the_kernel_and_an_address_of_its_own() -> None:
    lab = a_lab(index=254)
    last = dataclasses.replace(lab.machines[0], address=layout.address(254, layout.MAX_MACHINES - 1))
    assert len(qemu.tap(lab, last)) <= 15
    assert qemu.tap(a_mixed_lab(), a_mixed_lab().machine("w1")) == "kprov-vm7.12"
    assert qemu.mac(a_mixed_lab().machine("w1")) == "52:54:0a:4d:07:0c"


def test_a_container_has_no_size() -> None:
    with pytest.raises(LabError, match="not a virtual machine"):
        qemu.size(a_mixed_lab().machine("cp1"))


def test_kvm_is_believed_only_when_a_kernel_came_up() -> None:
    assert qemu.proved("Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)")
    assert not qemu.proved("")


def test_without_a_device_or_a_kernel_that_boots_machines_are_emulated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accelerators, "_DEVICE", "/nowhere/kvm")
    assert accelerators.choose(Path("/cache/vmlinuz")) == "tcg"
    monkeypatch.setattr(accelerators, "_DEVICE", "/dev/null")
    monkeypatch.setattr(qemu, "probe", lambda _: ("sh", "-c", "echo failed to set MSR; exit 1"))
    assert accelerators.choose(Path("/cache/vmlinuz")) == "tcg"
    monkeypatch.setattr(qemu, "probe", lambda _: ("sh", "-c", "echo Unable to mount root fs"))
    assert accelerators.choose(Path("/cache/vmlinuz")) == "kvm"


def test_a_probe_that_hangs_is_no_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accelerators, "_DEVICE", "/dev/null")
    monkeypatch.setattr(accelerators, "_SECONDS", 0.01)
    monkeypatch.setattr(qemu, "probe", lambda _: ("sleep", "30"))
    assert accelerators.choose(Path("/cache/vmlinuz")) == "tcg"


def test_emulation_is_said_plainly() -> None:
    assert "emulated" in accelerators.told("tcg")
    assert "emulated" not in accelerators.told("kvm")


def seeded(lab: Lab) -> dict[str, tuple[tarfile.TarInfo, str]]:
    content = seed.content(
        lab, lab.machine("w1"), host_key=b"KEY", authorized_key="ssh-ed25519 A", nameservers=("nameserver 192.0.2.1\n",)
    )
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        files = {entry.name: (entry, archive.extractfile(entry)) for entry in archive}
        return {name: (entry, file.read().decode() if file else "") for name, (entry, file) in files.items()}


def test_the_files_of_a_virtual_machine_come_as_a_tar_of_whole_sectors() -> None:
    lab = a_mixed_lab()
    content = seed.content(lab, lab.machine("w1"), host_key=b"KEY", authorized_key="A", nameservers=())
    assert len(content) % 512 == 0, "QEMU shows it as a disk"
    files = seeded(lab)
    assert files["etc/hostname"][1] == "w1\n"
    assert "Name=eth0" in files["etc/systemd/network/10-eth0.network"][1]
    assert files["etc/resolv.conf"][1] == "nameserver 192.0.2.1\n"
    assert "etc/machine-id" not in files, "it makes its own at its first start"


def test_secrets_in_that_tar_are_readable_by_their_owner_alone() -> None:
    files = seeded(a_mixed_lab())
    assert files["etc/ssh/ssh_host_ed25519_key"][0].mode == 0o600
    assert files["root/kprov-lab-password"][1] == "admin:hunter2\n"
    assert [name for name, (_, text) in files.items() if "hunter2" in text] == ["root/kprov-lab-password"]
    assert files["root/kprov-lab-password"][0].mode == 0o600
    for user, home in guest.USERS.items():
        for path, mode in ((f"{home}/.ssh", 0o700), (f"{home}/.ssh/authorized_keys", 0o600)):
            assert (files[path][0].uname, files[path][0].gname, files[path][0].mode) == (user, user, mode)


def test_the_password_in_that_tar_is_gone_once_it_is_set() -> None:
    lines = image.SEED.splitlines()
    assert lines.index("rm /root/kprov-lab-password") > lines.index("chpasswd </root/kprov-lab-password")


def test_an_image_has_another_name_when_something_in_it_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    name = image.key("trixie", "x86_64")
    assert name == image.key("trixie", "x86_64")
    assert name != image.key("bookworm", "x86_64")
    monkeypatch.setattr(image, "SEED", "other")
    assert name != image.key("trixie", "x86_64")


def test_each_part_of_a_layer_makes_another_image() -> None:
    layers = [
        image.Layer(files={"etc/a": "1"}, script="x"),
        image.Layer(files={"etc/a": "2"}, script="x"),
        image.Layer(files={"etc/b": "1"}, script="x"),
        image.Layer(files={"etc/a": "1"}, script="y"),
    ]
    names = {image.key("trixie", "x86_64", layer) for layer in (None, *layers)}
    assert len(names) == 5
    assert image.key("trixie", "x86_64") in names


def test_a_lab_is_listed_though_its_image_is_gone(tmp_path: Path) -> None:
    made = image.Image(folder=tmp_path)
    assert made.release == "unknown"
    (tmp_path / "release").write_text("6.1.0-57-cloud-amd64\n")
    assert made.release == "6.1.0-57-cloud-amd64"


def test_an_architecture_without_a_kernel_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    with pytest.raises(LabError) as caught:
        image.ensure("trixie")
    assert caught.value.found == "riscv64"


def test_the_record_keeps_what_virtual_machines_are() -> None:
    lab = a_mixed_lab(memory=3000, disk=9)
    assert layout.from_record(json.loads(json.dumps(layout.to_record(lab))), Secret("hunter2")) == lab
    assert [machine.kind for machine in lab.machines] == ["container", "vm"]


def test_a_record_from_before_there_were_virtual_machines_is_read() -> None:
    record = layout.to_record(a_lab())
    del record["image"], record["accelerator"]
    for machine in record["machines"]:
        del machine["vm"]
    assert layout.from_record(record, Secret("hunter2")) == a_lab()


def test_a_lab_of_other_sizes_is_another_lab() -> None:
    lab = a_mixed_lab(memory=2000)
    specs = [MachineSpec(name="cp1", groups=("control_plane",)), MachineSpec(name="w1", groups=("worker",))]
    same = [specs[0], dataclasses.replace(specs[1], vm=VmSize(memory=2000))]
    layout.require_same(lab, same, "bookworm")
    with pytest.raises(LabError, match="exists with other machines") as caught:
        layout.require_same(lab, specs, "bookworm")
    assert "w1 (vm: 2000 MiB of memory" in caught.value.found


@pytest.mark.parametrize(
    ("kinds_of_machines", "missing", "packages"),
    [
        ({"vm"}, "qemu-img", "qemu-utils"),
        ({"vm"}, "qemu-system-x86_64", "qemu-system-x86"),
        ({"container", "vm"}, "systemd-nspawn", "systemd-container"),
    ],
)
def test_programs_are_missed_only_by_the_machines_that_need_them(
    kinds_of_machines: set[str], missing: str, packages: str
) -> None:
    have = {name: name != missing for name in commands.PROGRAMS}
    with pytest.raises(LabError) as caught:
        commands.require_host("Linux", 0, have, kinds_of_machines)
    assert (caught.value.found, caught.value.todo) == (f"no {missing}", f"apt-get install {packages}")
    commands.require_host("Linux", 0, have, ())


def test_too_little_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert commands.available_memory("MemTotal: 9 kB\nMemAvailable:    2097152 kB\n") == 2048
    with pytest.raises(LabError, match="too little memory") as caught:
        commands.require_memory(2**40)
    assert "--memory" in caught.value.todo


def test_each_kind_has_its_module() -> None:
    first, second = a_mixed_lab().machines
    assert (kinds.of(first), kinds.of(second)) == (container, vm)


def test_a_container_has_no_clock_of_its_own() -> None:
    lab = a_mixed_lab()
    with pytest.raises(LabError, match="has this computer's clock"):
        container.boot(lab, lab.machine("cp1"), NEW_YEAR - datetime.now(UTC))


class _Silent:
    """A kind whose machine never gets ready; its console may grow with every look."""

    def __init__(self, look: Callable[[], None]) -> None:
        self._look = look

    def status(self, machine: Machine) -> str:
        self._look()
        return "starting"


@pytest.fixture
def waiting(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[float], str]:
    """Waits for a machine that writes to its console until `until`, on a clock that a look moves by ten seconds."""

    def wait(until: float) -> str:
        now, console = [0.0], tmp_path / "console.log"
        console.write_text("")

        def look() -> None:
            now[0] += 10
            if now[0] < until:
                console.write_text(console.read_text() + f"line at {now[0]:.0f}\n")

        monkeypatch.setattr(Machine, "console", console)
        monkeypatch.setattr(readiness.time, "monotonic", lambda: now[0])
        monkeypatch.setattr(readiness.time, "sleep", lambda _: None)
        monkeypatch.setattr(kinds, "of", lambda _: _Silent(look))
        monkeypatch.setattr(readiness.process, "keeper", lambda _: object())
        with pytest.raises(LabError, match="did not come up") as caught:
            readiness.wait_ready(a_mixed_lab().machine("w1"), Patience(quiet=60, all=600))
        assert ("line at" in caught.value.log) == (until > 0)
        return caught.value.found

    return wait


def test_a_machine_that_writes_to_its_console_is_waited_for(waiting: Callable[[float], str]) -> None:
    assert waiting(0) == "starting, after 70 s"
    assert waiting(205) == "starting, after 270 s"
    assert waiting(9000) == "starting, after 610 s"


@pytest.fixture
def listening(tmp_path: Path) -> Callable[[list[dict[str, Any]]], Path]:
    """A socket that says these lines, one for each request after the first, like QEMU."""

    def listen(lines: list[dict[str, Any]]) -> Path:
        path = tmp_path / "qmp"
        server = socket.socket(socket.AF_UNIX)
        server.bind(str(path))
        server.listen()

        def serve() -> None:
            connection, _ = server.accept()
            with connection, server:
                connection.sendall(b"".join(json.dumps(line).encode() + b"\n" for line in lines))
                while connection.recv(4096):
                    pass

        threading.Thread(target=serve, daemon=True).start()
        return path

    return listen


GREETING: dict[str, Any] = {"QMP": {"version": {}}}


def test_a_command_to_qemu_returns_its_answer_past_events(
    listening: Callable[[list[dict[str, Any]]], Path],
) -> None:
    path = listening([GREETING, {"return": {}}, {"event": "RESUME"}, {"return": {"status": "running"}}])
    assert qmp.execute(path, "query-status") == {"status": "running"}


def test_what_qemu_refuses_is_said(listening: Callable[[list[dict[str, Any]]], Path]) -> None:
    path = listening([GREETING, {"return": {}}, {"error": {"class": "GenericError", "desc": "no such device"}}])
    with pytest.raises(LabError, match="refused") as caught:
        qmp.execute(path, "set_link", name="card", up=False)
    assert caught.value.found == "no such device"


def test_a_qemu_that_is_gone_is_said(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="does not answer"):
        qmp.execute(tmp_path / "qmp", "query-status")
