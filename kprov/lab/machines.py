"""Labs of local test machines: made, started, stopped, crashed, rebooted and removed without a trace.

What a kind of machine does in its own way is in `container` and `vm`.

For tests, tutorials and diagnostics only: the engine reaches lab machines by SSH, as it reaches any other.
"""

from __future__ import annotations

import dataclasses
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Literal

from kprov.lab import borrowed, guest, kinds, network, process, records, template, vm
from kprov.lab.commands import check_host, tail
from kprov.lab.layout import (
    LABS,
    Lab,
    Machine,
    MachineSpec,
    check_machines,
    check_name,
    require_same,
)
from kprov.lab.mounts import remove_tree
from kprov.lab.readiness import wait_ready
from kprov.lab.registration import register
from kprov.values.errors import LabError

_STOP_TIMEOUT = {"container": 120.0, "vm": 400.0}  # systemd itself gives a service 90 s to stop
_NOW = timedelta()
_POLL = 0.05


def create(name: str, machines: Sequence[MachineSpec], *, suite: str = "bookworm") -> Lab:
    """Make a lab, or start what does not run of one that is there with the same machines; returns when SSH answers.

    `suite`: Debian release of the machines. A lab whose making was broken off is made again. On failure nothing is
    left. Raises LabError.
    """
    check_name(name)
    check_machines(name, machines, {})
    check_host({"vm" if spec.vm else "container" for spec in machines})
    known = records.find(name)
    if known is None or not known.complete:
        template.ensure(machines, suite)  # before the lab is locked: it may take minutes
    with _held(name):
        known = records.find(name)
        if known is not None and known.complete:
            require_same(known, machines, suite)
            for machine in known.machines:
                _boot_if_down(known, machine)
            lab = known
        else:
            lab = _make_anew(name, machines, suite)
    _in_parallel(wait_ready, lab.machines)
    return lab


@contextmanager
def _held(name: str) -> Iterator[None]:
    """Hold the lab of that name, with a folder made for it if there is none."""
    with ExitStack() as stack:
        while True:
            with records.host_lock():
                (LABS / name).mkdir(mode=0o700, parents=True, exist_ok=True)
                LABS.chmod(0o700)
            try:
                stack.enter_context(records.lab_lock(name))
                break
            except FileNotFoundError:  # the run that held it before us removed the lab
                continue
        yield


def _make_anew(name: str, machines: Sequence[MachineSpec], suite: str) -> Lab:
    """Make a lab in its locked folder, whatever a run that was killed has left there; on failure nothing is left."""
    try:
        _empty(name)
        made_of = template.ensure(machines, suite)
        template.require_room(machines)
        lab, host_keys = register(name, machines, suite, made_of)
        _make(lab, host_keys)
        complete = dataclasses.replace(lab, complete=True)
        records.save(complete)
    except BaseException:
        _remove(name)
        raise
    return complete


def _make(lab: Lab, host_keys: Sequence[bytes]) -> None:
    private, public = guest.new_key_pair(f"kprov-lab-{lab.name}")
    guest.write_private(lab.key, private)
    lab.key.with_suffix(".pub").write_text(f"{public}\n", encoding="ascii")
    network.up(lab)
    by_name = {machine.name: key for machine, key in zip(lab.machines, host_keys, strict=True)}

    def bring_up(machine: Machine) -> None:
        kinds.of(machine).prepare(lab, machine, host_key=by_name[machine.name], authorized_key=public)
        _boot(lab, machine)
        wait_ready(machine)

    _in_parallel(bring_up, lab.machines)


def _in_parallel(work: Callable[[Machine], None], machines: Sequence[Machine]) -> None:
    with ThreadPoolExecutor(max_workers=8) as pool:
        for done in [pool.submit(work, machine) for machine in machines]:
            done.result()


def _boot(lab: Lab, machine: Machine, clock: timedelta = _NOW) -> None:
    kinds.of(machine).boot(lab, machine, clock)
    process.wait_keeper(machine)


def state(machine: Machine) -> Literal["running", "stopped"]:
    """Whether the machine has an init, or power; says nothing of what runs in it."""
    return "running" if kinds.of(machine).running(machine) else "stopped"


def kernel(lab: Lab, machine: Machine) -> str:
    """Release of the kernel the machine runs: this host's, or its own."""
    return kinds.of(machine).kernel(lab)


def start(machine: Machine, *, clock: timedelta = _NOW) -> None:
    """Start a machine that does not run (after a stop, a crash, a restart of this host) and wait until SSH answers.

    `clock`: how far a virtual machine's own clock is ahead of this computer's (negative: behind). Raises LabError.
    """
    check_host({machine.kind})
    lab = records.load(machine.lab)
    with records.lab_lock(machine.lab):
        _boot_if_down(lab, machine, clock)
    wait_ready(machine)


def _boot_if_down(lab: Lab, machine: Machine, clock: timedelta = _NOW) -> None:
    if process.keeper(machine) is None:
        with records.host_lock():
            borrowed.take()
        network.up(lab)
        _boot(lab, machine, clock)


def stop(machine: Machine, *, graceful: bool = True) -> None:
    """Power a machine off from inside; with `graceful` off, as `crash`. One that does not run is fine.

    Raises LabError when it has not gone down after two minutes (a virtual machine: seven).
    """
    held = process.keeper(machine)
    if graceful and held is not None and state(machine) == "running":
        _tell(machine, "poweroff")
        try:
            process.wait_gone(held, timeout=_STOP_TIMEOUT[machine.kind])
        except LabError as error:
            raise LabError(
                "the machine does not power off",
                where=machine.identity,
                found=error.found,
                log=process.console_tail(machine),
            ) from error
    crash(machine)


def crash(machine: Machine) -> None:
    """Cut a machine's power. A container's disks keep what was written, a virtual machine's what it synced. Idempotent.

    Raises LabError when a process of it cannot be killed.
    """
    lab = records.find(machine.lab)
    if lab is not None:
        _cut(lab, machine)


def _cut(lab: Lab, machine: Machine) -> None:
    kinds.of(machine).cut(lab, machine)
    (machine.folder / "keeper").unlink(missing_ok=True)


def reboot(machine: Machine) -> None:
    """Reboot a machine from inside and wait until SSH answers again. Raises LabError."""
    kind, limit = kinds.of(machine), _STOP_TIMEOUT[machine.kind]
    before, deadline = kind.boot_mark(machine), time.monotonic() + limit
    _tell(machine, "reboot")
    while kind.boot_mark(machine) in (before, ""):
        if time.monotonic() > deadline + limit * (machine.kind == "vm"):
            raise LabError("the machine does not reboot", where=machine.identity, log=process.console_tail(machine))
        time.sleep(_POLL)
    wait_ready(machine)


def _tell(machine: Machine, verb: str) -> None:
    """Say `systemctl VERB` in a machine that may be gone before it answers."""
    with suppress(LabError):
        run_in(machine, ["systemctl", verb], check=False)


def plug(machine: Machine, *, connected: bool) -> None:
    """Pull a virtual machine's network cable, or put it back. Raises LabError."""
    vm.plug(machine, connected=connected)


def put(machine: Machine, source: Path, path: str) -> None:
    """Copy a file of this host to `path` in a machine, as root. Raises LabError."""
    kinds.of(machine).put(machine, source, path)


def run_in(
    machine: Machine, argv: Sequence[str], *, text: str = "", timeout: float = 60, check: bool = True
) -> subprocess.CompletedProcess[str]:
    """Run a program inside a machine as root, without SSH. Raises LabError when it fails, unless `check` is off.

    In a container it runs in the machine's namespaces but not in its cgroups: start daemons with `systemctl` or
    `systemd-run`. A virtual machine is reached by SSH.
    """
    done = kinds.of(machine).enter(machine, [*argv], text=text, timeout=timeout)
    if check and done.returncode != 0:
        raise LabError(
            "a program in the machine failed",
            where=machine.identity,
            found=f"{' '.join(argv)} returned {done.returncode}",
            log=tail(done.stderr or done.stdout),
        )
    return done


def destroy(lab: Lab | str) -> None:
    """Remove a lab with all its machines and everything of it on this host. One that is not there is fine.

    Works on labs that were made halfway, also by a run that was killed. Raises LabError.
    """
    name = lab if isinstance(lab, str) else lab.name
    check_name(name)
    check_host(())
    try:
        with records.lab_lock(name):
            _remove(name)
    except FileNotFoundError:
        _settle()  # there is none, or another run removed it and was killed before it was done


def _remove(name: str) -> None:
    _empty(name)
    (LABS / name).rmdir()
    _settle()


def _empty(name: str) -> None:
    """Take down everything of the lab whose lock we hold; only its folder stays."""
    known = records.find(name)
    if known is not None:
        records.save(dataclasses.replace(known, complete=False))
        for machine in known.machines:
            _cut(known, machine)
        network.down(known)
    for entry in (LABS / name).iterdir():
        if entry.name not in records.FILES:
            remove_tree(entry)
    records.forget(name)  # last: until then, a run that is killed leaves a lab that is listed and can be removed


def _settle() -> None:
    """Give back what labs share once none is left."""
    with records.host_lock():
        records.drop_empty()
        if LABS.is_dir() and not records.names():
            borrowed.give_back()
            LABS.rmdir()


def list() -> tuple[Lab, ...]:
    """All labs of this host, by name."""
    return records.load_all()
