"""Gives a new lab its number and its record; makes no machine."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from kprov.lab import borrowed, guest, network, records, template
from kprov.lab.layout import Lab, Machine, MachineSpec, address, check_machines, free_index
from kprov.values.secret import Secret


def register(
    name: str, machines: Sequence[MachineSpec], suite: str, made_of: template.Template
) -> tuple[Lab, tuple[bytes, ...]]:
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
            base=made_of.base,
            image=made_of.image,
            accelerator=made_of.accelerator,
            admin_password=Secret(secrets.token_urlsafe(16)),
            machines=tuple(
                Machine(
                    lab=name,
                    name=spec.name,
                    groups=spec.groups,
                    address=address(index, position),
                    host_key=public,
                    vm=spec.vm,
                )
                for position, (spec, (_, public)) in enumerate(zip(machines, pairs, strict=True))
            ),
        )
        borrowed.take()
        records.save(lab)
    return lab, tuple(private for private, _ in pairs)
