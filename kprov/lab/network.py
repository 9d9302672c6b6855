"""The network of a lab on this host: bridge, gateway address, masquerade; touches only what bears its number."""

from __future__ import annotations

import json
from ipaddress import IPv4Network

from kprov.lab.commands import run
from kprov.lab.layout import NETWORK, Lab
from kprov.values.errors import LabError


def routes() -> tuple[IPv4Network, ...]:
    """Networks this host has routes to, other than its default route, that touch the labs' range."""
    found = []
    for route in json.loads(run(["ip", "-json", "-4", "route", "show", "table", "all"]).stdout or "[]"):
        target = str(route.get("dst", "default"))
        if target != "default":
            network = IPv4Network(target, strict=False)
            if network.overlaps(NETWORK):
                found.append(network)
    return tuple(found)


def ruleset(table: str, network: IPv4Network, bridge: str) -> str:
    """nftables text that lets a lab's machines reach what the host can reach; replaces an older one of that name.

    `add` before `delete` so that the text also works when there is no such table.
    """
    return f"""\
add table ip {table}
delete table ip {table}
table ip {table} {{
    chain postrouting {{
        type nat hook postrouting priority srcnat; policy accept;
        ip saddr {network} ip daddr != {network} oifname != "{bridge}" masquerade
    }}
}}
"""


def up(lab: Lab) -> None:
    """Make the lab's bridge and masquerade; idempotent. Raises LabError."""
    if not _bridge_exists(lab.bridge):
        run(["ip", "link", "add", "name", lab.bridge, "type", "bridge"])
    run(["ip", "address", "replace", f"{lab.gateway}/{lab.network.prefixlen}", "dev", lab.bridge])
    run(["ip", "link", "set", lab.bridge, "up"])
    run(["nft", "-f", "-"], text=ruleset(lab.nft_table, lab.network, lab.bridge))


def down(lab: Lab) -> None:
    """Remove the lab's masquerade and bridge; idempotent. Raises LabError."""
    run(["nft", "-f", "-"], text=f"add table ip {lab.nft_table}\ndelete table ip {lab.nft_table}\n")
    if _bridge_exists(lab.bridge):
        run(["ip", "link", "delete", lab.bridge])


def drop_link(identity: str) -> None:
    """Remove a dead machine's end of its link, which a network namespace that is slow to go keeps; idempotent.

    nspawn shortens long names and keeps the whole one as an alternative name. Raises LabError.
    """
    name = f"vb-{identity}"
    shown = run(["ip", "-json", "link", "show", "type", "veth"], check=False)
    for link in json.loads(shown.stdout or "[]") if shown.returncode == 0 else []:
        if name in (link.get("ifname"), *link.get("altnames", ())):
            run(["ip", "link", "delete", str(link["ifname"])], check=False)  # it may go by itself meanwhile


def add_tap(name: str, bridge: str) -> None:
    """Make a virtual machine's end of its cable on this host and plug it into the bridge; idempotent. Raises LabError."""
    if run(["ip", "link", "show", "dev", name], check=False).returncode != 0:
        run(["ip", "tuntap", "add", "dev", name, "mode", "tap"])
    run(["ip", "link", "set", "dev", name, "master", bridge, "up"])


def drop_tap(name: str) -> None:
    """Remove a virtual machine's end of its cable; idempotent."""
    run(["ip", "link", "delete", "dev", name], check=False)


def _bridge_exists(name: str) -> bool:
    shown = run(["ip", "-json", "-details", "link", "show", "dev", name], check=False)
    if shown.returncode != 0:
        return False
    kind = json.loads(shown.stdout)[0].get("linkinfo", {}).get("info_kind")
    if kind != "bridge":
        raise LabError("an interface of this host has the name of a lab's bridge", where=name, found=f"kind {kind}")
    return True
