"""`kprov lab`: local test machines on this computer, and an inventory for them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

import click

from kprov.cli.options import FILE
from kprov.lab import MachineSpec, accelerators, inventory, machines
from kprov.lab.layout import SUITES, VmSize
from kprov.report.words import count
from kprov.values.errors import LabError

DEFAULT_NAME = "demo"


@click.group()
def lab() -> None:
    """Local test machines on this computer.

    Debian machines with systemd and sshd of their own on a bridge of their own; needs root. They are containers, which
    share this computer's kernel, or virtual machines.
    """


@lab.command()
@click.option("--name", default=DEFAULT_NAME, show_default=True, help="Name of the lab.")
@click.option("--control-planes", type=click.IntRange(1, 9), default=1, show_default=True, help="How many.")
@click.option("--workers", type=click.IntRange(0, 180), default=2, show_default=True, help="How many.")
@click.option("--etcd", type=click.IntRange(0, 9), default=0, show_default=True, help="Hosts for etcd alone.")
@click.option("--kubernetes", help="Version for the inventory; default: kprov's.")
@click.option("--suite", type=click.Choice(SUITES), default=SUITES[0], show_default=True, help="Debian release.")
@click.option(
    "--machines",
    "kind",
    type=click.Choice(("container", "vm")),
    default="container",
    show_default=True,
    help="Containers, or virtual machines with kernels of their own.",
)
@click.option("--vm", "vms", metavar="NAMES", help="Machines that are virtual ones, with commas: w1,w2.")
@click.option(
    "--memory", type=click.IntRange(1024), default=VmSize.memory, show_default=True, help="MiB of a virtual machine."
)
@click.option(
    "--disk", type=click.IntRange(4), default=VmSize.disk, show_default=True, help="GiB of a virtual machine's disk."
)
@click.option("-o", "--output", type=FILE, default=Path("inventory/lab.yaml"), show_default=True, help="Inventory.")
def up(
    name: str,
    control_planes: int,
    workers: int,
    etcd: int,
    kubernetes: str | None,
    suite: str,
    kind: str,
    vms: str | None,
    memory: int,
    disk: int,
    output: Path,
) -> None:
    """Make the machines of a lab, or start them again, and write their inventory.

    \b
    Examples:
      kprov lab up
      kprov lab up --name ha --control-planes 3 --workers 2 -o ha.yaml
      kprov lab up --name own-kernels --vm w1,w2 --suite trixie
    """
    chosen = None if kind == "vm" else tuple(vms.split(",")) if vms else ()
    desired = with_vms(specs(control_planes, workers, etcd), chosen, VmSize(memory=memory, disk=disk))
    made = machines.create(name, desired, suite=suite)
    output.parent.mkdir(parents=True, exist_ok=True)
    inventory.write(made, output, kubernetes=kubernetes)
    for machine in made.machines:
        click.echo(f"{machine.name:<8} {machine.address:<14} {machine.kind:<9} {', '.join(machine.groups)}")
    if made.accelerator is not None:
        click.echo(accelerators.told(made.accelerator))
    click.echo(f"lab {name} is up; its inventory is {output}; next: kprov up {output}")


def with_vms(machines: Sequence[MachineSpec], names: Collection[str] | None, size: VmSize) -> list[MachineSpec]:
    """The same machines, those of these names (None: all) as virtual ones. Raises LabError for an unknown name."""
    known = [spec.name for spec in machines]
    if unknown := [name for name in names or () if name not in known]:
        raise LabError(
            "--vm names a machine that this lab does not have", found=unknown[0], needed="of " + ", ".join(known)
        )
    return [replace(spec, vm=size) if names is None or spec.name in names else spec for spec in machines]


def specs(control_planes: int, workers: int, etcd: int) -> list[MachineSpec]:
    """The machines of a lab: etcd1 …, cp1 …, w1 …; control planes are workers too when there are no others."""
    alone = workers == 0
    return [
        *(MachineSpec(name=f"etcd{number}", groups=("etcd",)) for number in range(1, etcd + 1)),
        *(
            MachineSpec(name=f"cp{number}", groups=("control_plane", "worker") if alone else ("control_plane",))
            for number in range(1, control_planes + 1)
        ),
        *(MachineSpec(name=f"w{number}", groups=("worker",)) for number in range(1, workers + 1)),
    ]


@lab.command()
@click.argument("name", default=DEFAULT_NAME)
def down(name: str) -> None:
    """Remove a lab and everything of it. One that is not there is fine.

    \b
    Example:
      kprov lab down demo
    """
    machines.destroy(name)
    click.echo(f"lab {name} is gone")


@lab.command("list")
def show() -> None:
    """Show the labs of this computer and their machines.

    \b
    Example:
      kprov lab list
    """
    labs = machines.list()
    for each in labs:
        click.echo(f"{each.name}: {count(len(each.machines), 'machine')}, {each.network}")
        for machine in each.machines:
            groups = ", ".join(machine.groups)
            kernel = machines.kernel(each, machine)
            shown = f"{machine.kind:<9} {kernel:<28} {machines.state(machine):<8}"
            click.echo(f"  {machine.name:<8} {machine.address:<14} {shown} {groups}")
    if not labs:
        click.echo("there are no labs")
