"""Labs of local test machines: made, started, stopped, crashed, rebooted and removed without a trace.

For tests, tutorials and diagnostics only: the engine reaches lab machines by SSH, as it reaches any other.
"""

from __future__ import annotations

import dataclasses
import secrets
import subprocess
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Literal

from kprov.lab import base, borrowed, cgroups, guest, network, nspawn, process, records
from kprov.lab.commands import check_host, require_space, tail
from kprov.lab.layout import LABS, Lab, Machine, MachineSpec, address, check_machines, check_name, free_index
from kprov.lab.mounts import remove_tree
from kprov.lab.readiness import wait_ready
from kprov.values.errors import LabError
from kprov.values.secret import Secret

_KEEPER = Path(__file__).with_name("keeper.sh")
_MACHINE_BYTES = 2**29
_STOP_TIMEOUT = 120.0  # systemd itself gives a service 90 s to stop


def create(name: str, machines: Sequence[MachineSpec], *, suite: str = "bookworm") -> Lab:
    """Make a lab, or start what does not run of one that is there with the same machines; returns when SSH answers.

    `suite`: Debian release of the machines. A lab whose making was broken off is made again. On failure nothing is
    left. Raises LabError.
    """
    check_name(name)
    check_machines(name, machines, {})
    check_host()
    known = records.find(name)
    if known is None or not known.complete:
        base.ensure(suite)  # before the lab is locked: it may take minutes
    with _held(name):
        known = records.find(name)
        if known is not None and known.complete:
            _require_same(known, machines, suite)
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
        template = base.ensure(suite)
        require_space(template, len(machines) * _MACHINE_BYTES)
        lab, host_keys = _register(name, machines, suite, template)
        _make(lab, host_keys)
        complete = dataclasses.replace(lab, complete=True)
        records.save(complete)
    except BaseException:
        _remove(name)
        raise
    return complete


def _require_same(lab: Lab, machines: Sequence[MachineSpec], suite: str) -> None:
    have = [(machine.name, machine.groups) for machine in lab.machines]
    want = [(spec.name, spec.groups) for spec in machines]
    if have != want or lab.suite != suite:
        raise LabError(
            f"lab {lab.name} exists with other machines",
            found=f"{', '.join(name for name, _ in have)} ({lab.suite})",
            needed=f"{', '.join(name for name, _ in want)} ({suite})",
            todo=f"kprov lab down {lab.name}, or choose another name",
        )


def _register(name: str, machines: Sequence[MachineSpec], suite: str, template: Path) -> tuple[Lab, tuple[bytes, ...]]:
    """Give the lab its number and write its record; returns it with its machines' SSH host keys (private)."""
    pairs = [guest.new_key_pair("") for _ in machines]
    with records.host_lock():
        others = records.load_all()
        check_machines(name, machines, {lab.name: [machine.name for machine in lab.machines] for lab in others})
        index = free_index([lab.index for lab in others], network.routes())
        lab = Lab(
            name=name,
            index=index,
            suite=suite,
            base=template,
            admin_password=Secret(secrets.token_urlsafe(16)),
            machines=tuple(
                Machine(lab=name, name=spec.name, groups=spec.groups, address=address(index, position), host_key=public)
                for position, (spec, (_, public)) in enumerate(zip(machines, pairs, strict=True))
            ),
        )
        borrowed.take()
        records.save(lab)
    return lab, tuple(private for private, _ in pairs)


def _make(lab: Lab, host_keys: Sequence[bytes]) -> None:
    private, public = guest.new_key_pair(f"kprov-lab-{lab.name}")
    guest.write_private(lab.key, private)
    lab.key.with_suffix(".pub").write_text(f"{public}\n", encoding="ascii")
    network.up(lab)
    by_name = {machine.name: key for machine, key in zip(lab.machines, host_keys, strict=True)}

    def bring_up(machine: Machine) -> None:
        guest.prepare(lab, machine, host_key=by_name[machine.name], authorized_key=public)
        _boot(lab, machine)
        wait_ready(machine)

    _in_parallel(bring_up, lab.machines)


def _in_parallel(work: Callable[[Machine], None], machines: Sequence[Machine]) -> None:
    with ThreadPoolExecutor(max_workers=8) as pool:
        for done in [pool.submit(work, machine) for machine in machines]:
            done.result()


def _boot(lab: Lab, machine: Machine) -> None:
    groups = cgroups.make(machine.identity)
    (machine.folder / "groups").write_text("".join(f"{group}\n" for group in groups), encoding="ascii")
    modules = Path("/lib/modules")
    container = nspawn.arguments(lab, machine, kernel_modules=modules.resolve() if modules.is_dir() else None)
    command = nspawn.keeper_command(_KEEPER, machine, container)
    process.spawn(command, extra_environment=nspawn.ENVIRONMENT, log=machine.console)
    process.wait_keeper(machine)


def state(machine: Machine) -> Literal["running", "stopped"]:
    """Whether the machine has an init; says nothing of what runs in it."""
    return "running" if process.leader(machine) is not None else "stopped"


def start(machine: Machine) -> None:
    """Start a machine that does not run (after a stop, a crash, a restart of this host) and wait until SSH answers.

    Raises LabError.
    """
    check_host()
    lab = records.load(machine.lab)
    with records.lab_lock(machine.lab):
        _boot_if_down(lab, machine)
    wait_ready(machine)


def _boot_if_down(lab: Lab, machine: Machine) -> None:
    if process.keeper(machine) is None:
        with records.host_lock():
            borrowed.take()
        network.up(lab)
        cgroups.sweep(machine.identity)
        network.drop_link(machine.identity)
        guest.mount(lab, machine)
        _boot(lab, machine)


def stop(machine: Machine, *, graceful: bool = True) -> None:
    """Power a machine off from inside; with `graceful` off, as `crash`. One that does not run is fine.

    Raises LabError when it has not gone down after two minutes.
    """
    held = process.keeper(machine)
    if graceful and held is not None and process.leader(machine) is not None:
        run_in(machine, ["systemctl", "poweroff"], check=False)  # may die with the machine
        try:
            process.wait_gone(held, timeout=_STOP_TIMEOUT)
        except LabError as error:
            raise LabError(
                "the machine does not power off",
                where=machine.identity,
                found=error.found,
                log=process.console_tail(machine),
            ) from error
    crash(machine)


def crash(machine: Machine) -> None:
    """Kill a machine as a power cut does, but for its disks, which keep what was written. Idempotent.

    Raises LabError when a process of it cannot be killed.
    """
    held, outer = process.keeper(machine), process.container(machine)
    if held is not None:
        process.kill(held)
    if outer is not None:
        process.kill(outer)
    cgroups.sweep(machine.identity)
    network.drop_link(machine.identity)
    (machine.folder / "keeper").unlink(missing_ok=True)


def reboot(machine: Machine) -> None:
    """Reboot a machine from inside and wait until SSH answers again. Raises LabError."""
    before = process.leader(machine)
    run_in(machine, ["systemctl", "reboot"], check=False)  # may die with the machine
    if before is not None:
        process.wait_gone(before, timeout=_STOP_TIMEOUT)
    wait_ready(machine)


def run_in(
    machine: Machine, argv: Sequence[str], *, text: str = "", timeout: float = 60, check: bool = True
) -> subprocess.CompletedProcess[str]:
    """Run a program inside a machine as root, without SSH. Raises LabError when it fails, unless `check` is off.

    It runs in the machine's namespaces but not in its cgroups: start daemons with `systemctl` or `systemd-run`.
    """
    done = process.enter(machine, argv, text=text, timeout=timeout)
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
    check_host()
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
            crash(machine)
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
