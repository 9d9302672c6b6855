"""Local test machines and their inventory: `kprov lab`. The engine never imports this package.

    lab = machines.create("demo", [MachineSpec(name="cp1"), MachineSpec(name="w1", groups=("worker",))])
    inventory.write(lab, Path("inventory.yaml"))
    machines.crash(lab.machine("w1"))
    machines.start(lab.machine("w1"))
    machines.destroy(lab)

`machines` makes, starts, stops and removes; `inventory` writes; all raise `kprov.values.errors.LabError`.
"""

from kprov.lab import inventory, machines
from kprov.lab.layout import Lab, Machine, MachineSpec

__all__ = ["Lab", "Machine", "MachineSpec", "inventory", "machines"]
