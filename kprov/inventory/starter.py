"""Host arguments of `kprov init` → the text of a first inventory, with comments. Writes no file, asks no host."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pydantic_core import PydanticCustomError

from kprov.inventory.fields import address, dns_label, host_name, user_name
from kprov.values.errors import InventoryError

_HOST = re.compile(r"(?:(?P<name>[^=@:]+)=)?(?:(?P<user>[^@:]+)@)?(?P<address>[^@:]+)(?::(?P<port>[1-9][0-9]{0,4}))?\Z")
_FORM = "[NAME=][USER@]ADDRESS[:PORT]"

_TEXT = """\
# Inventory of the cluster {name}. Check it with `kprov validate`, see what would be done with `kprov plan`.
cluster:
  name: {label}
  # kubernetes: "1.37" # a minor version or a full one, in quotes; default: the newest kprov knows
{user}  # key: ~/.ssh/id_ed25519 # default: the agent and ssh_config
  # pod_cidr: 10.244.0.0/16 # must not overlap the network of the hosts
  # service_cidr: 10.96.0.0/16 # nor this one
  # api_endpoint: api.example.org:6443 # a load balancer or virtual IP; default: a local proxy on each host

# groups: # variables for the hosts of a group
#   worker:
#     labels: {{tier: work}}
#     kubelet: {{maxPods: 110}}

{comment}
hosts:
{hosts}
"""
_COMMENTS = {
    1: "# One machine that is everything. For production use three control planes.",
    2: "# One control plane, which is etcd's member too: while it is down, nothing can be changed.",
    5: "# Three control planes, which are etcd's members too: any one of them may fail. The rest are workers.",
}


@dataclass(frozen=True, kw_only=True)
class _Target:
    name: str
    address: str
    user: str | None
    port: int | None
    control_plane: bool


def starter(hosts: Sequence[str], name: str = "cluster1") -> str:
    """The text of an inventory that loads without a mistake when addresses are not written twice.

    Args:
        hosts: `[NAME=][USER@]ADDRESS[:PORT]` each. One host becomes everything; of two to four the first is the control
            plane; of five and more the first three are. The rest are workers.
        name: the cluster's name.

    Raises InventoryError for an argument of another form.
    """
    if not hosts:
        raise InventoryError("no hosts are named", todo=f"name at least one host: {_FORM}")
    _checked(dns_label, name, name)
    planes = 3 if len(hosts) >= 5 else 1
    targets = [_target(text, index, planes, len(hosts)) for index, text in enumerate(hosts)]
    names = [target.name for target in targets]
    for twice in sorted({name for name in names if names.count(name) > 1}):
        raise InventoryError(f"two hosts are named {twice}", where=_FORM, todo="name one of them otherwise")
    users = {target.user for target in targets}
    common = users.pop() if len(users) == 1 else None
    user = (
        f"  user: {_text(common)}"
        if common
        else "  # user: admin # with sudo; default: ssh_config's, else your own name"
    )
    kind = max(count for count in _COMMENTS if count <= len(hosts))
    lines = [_line(target, common, alone=len(hosts) == 1) for target in targets]
    return _TEXT.format(name=name, label=_text(name), user=f"{user}\n", comment=_COMMENTS[kind], hosts="\n".join(lines))


def _target(text: str, index: int, planes: int, count: int) -> _Target:
    match = _HOST.match(text)
    if not match or int(match["port"] or 1) > 65535:
        raise InventoryError(
            f"not a host: {text!r}", where="arguments", todo=f"write {_FORM}, with an IPv4 or DNS name"
        )
    if match["user"]:
        _checked(user_name, match["user"], text)
    default = "node1" if count == 1 else f"cp{index + 1}" if index < planes else f"w{index + 1 - planes}"
    return _Target(
        name=_checked(host_name, match["name"], text) if match["name"] else default,
        address=_checked(address, match["address"], text),
        user=match["user"],
        port=int(match["port"]) if match["port"] else None,
        control_plane=index < planes,
    )


def _checked(check: Callable[[str], str], value: str, argument: str) -> str:
    try:
        return check(value)
    except PydanticCustomError as error:
        context = error.context or {}
        todo = context["todo"] or f"needed: {context['needed']}"
        raise InventoryError(f"{argument!r}: {context['what']}", where="arguments", todo=todo) from None


def _line(target: _Target, common: str | None, *, alone: bool) -> str:
    place = target.address if _is_address(target.address) else _text(target.address)
    parts = [f"address: {place}"]
    if target.user and target.user != common:
        parts.append(f"user: {_text(target.user)}")
    if target.port:
        parts.append(f"port: {target.port}")
    if target.control_plane:
        parts.append("groups: [control_plane, worker]" if alone else "group: control_plane")
    return f"  {_text(target.name)}: {place if parts[1:] == [] else '{' + ', '.join(parts) + '}'}"


def _is_address(text: str) -> bool:
    return text.count(".") == 3 and text.replace(".", "").isdigit()


def _text(word: str) -> str:
    """A word as YAML text; one that YAML would take for something else is put into quotes."""
    return word if re.fullmatch(r"[A-Za-z][A-Za-z0-9_.-]*", word) and word.lower() not in _WORDS else f'"{word}"'


_WORDS = frozenset({"yes", "no", "on", "off", "true", "false", "null"})
