"""A lab as a value, for tests that need no machines."""

from __future__ import annotations

from pathlib import Path

from kprov.lab import layout
from kprov.lab.layout import Lab, Machine
from kprov.values.secret import Secret

HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAII65YQGlEdyAvUL9asoBJGraXJeg+XFLUR06MfMuotS8"


def a_lab(name: str = "demo", index: int = 7) -> Lab:
    machines = tuple(
        Machine(
            lab=name,
            name=machine,
            groups=groups,
            address=layout.address(index, position),
            host_key=HOST_KEY,
        )
        for position, (machine, groups) in enumerate([("cp1", ("control_plane",)), ("w1", ("worker",))])
    )
    return Lab(
        name=name,
        index=index,
        suite="bookworm",
        base=Path("/base"),
        machines=machines,
        admin_password=Secret("hunter2"),
    )
