"""The text forms an inventory's values may have: each function takes what was written and returns the value or refuses.

Nothing here knows where a value stands in the file or what other values are.
"""

from __future__ import annotations

import base64
import binascii
import re
from ipaddress import AddressValueError, IPv4Address, IPv4Network, NetmaskValueError
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator
from pydantic_core import PydanticCustomError

from kprov.values.model import Taint

_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\Z")
_QUALIFIED = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?\Z")
# Directories add their domain, as `DOMAIN\\name` or `name@domain`; OpenSSH takes a backslash inside a name.
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@+-]{0,62}(\\[A-Za-z0-9_][A-Za-z0-9_.@+-]{0,62})?\$?\Z")
_FLAG = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?\Z")
_VERSION = re.compile(r"(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*)){1,2}\Z")
_KEY_TYPES = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-rsa")
FlagText = str | tuple[str, ...]  # of a list, each value
_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_OWN_TAINTS = frozenset({"node.kubernetes.io", "node.cloudprovider.kubernetes.io"})
_KUBELET_LABELS = frozenset({"kubernetes.io/hostname", "kubernetes.io/os", "kubernetes.io/arch"})


def refuse(what: str, needed: str, todo: str = "") -> PydanticCustomError:
    """The exception for a value that cannot be taken; the reader of the error adds place and finding."""
    return PydanticCustomError("kprov", "{what}", {"what": what, "needed": needed, "todo": todo})


def provider_id(value: str) -> str:
    if re.fullmatch(r"[a-z][a-z0-9-]*://[!-~]+", value):
        return value
    raise refuse(
        "not a provider ID",
        "PROVIDER://MACHINE as the cloud's controller writes it, such as hcloud://123456",
    )


def dns_label(value: str) -> str:
    if _LABEL.match(value):
        return value
    raise refuse(
        "not a name in the sense of RFC 1123",
        "lower case letters, digits and '-', at most 63, beginning and ending with a letter or digit",
        f"write '{value.lower()}'" if _LABEL.match(value.lower()) else "",
    )


def dns_name(value: str) -> str:
    if len(value) <= 253 and all(_LABEL.match(label) for label in value.split(".")):
        return value
    lower = value.lower()
    proper = len(lower) <= 253 and all(_LABEL.match(label) for label in lower.split("."))
    raise refuse(
        "not a DNS name in the sense of RFC 1123",
        "labels of lower case letters, digits and '-', separated by '.'",
        f"write '{lower}'" if proper else "",
    )


def host_name(value: str) -> str:
    """A node name; at most 63 characters, because Kubernetes puts it into the label kubernetes.io/hostname."""
    if re.fullmatch(r"[0-9.]+", value) and "." in value:
        raise refuse("an address stands where a host's name is needed", "NAME: ADDRESS", f"write 'w1: {value}'")
    if len(value) > 63:
        raise refuse("a host name that is too long", "at most 63 characters")
    return dns_name(value)


def ipv4(value: Any) -> IPv4Address:
    if isinstance(value, IPv4Address):
        return value
    if not isinstance(value, str):
        raise refuse("not an address", "an IPv4 address such as 192.0.2.11")
    _no_ipv6(value)
    try:
        address = IPv4Address(value)
    except AddressValueError as error:
        raise refuse("not an IPv4 address", "four numbers from 0 to 255 such as 192.0.2.11") from error
    if address.is_unspecified or address.is_multicast or address == IPv4Address("255.255.255.255"):
        raise refuse("an address that no host can have", "a unicast IPv4 address such as 192.0.2.11")
    return address


def node_address(value: Any) -> IPv4Address:
    address = ipv4(value)
    if address.is_loopback or address.is_link_local:
        raise refuse("an address that other hosts cannot reach", "an address of the network between the hosts")
    return address


def network(value: Any) -> IPv4Network:
    if isinstance(value, IPv4Network):
        return value
    if not isinstance(value, str) or "/" not in value:
        raise refuse("not a network", "an IPv4 network with its prefix, such as 10.244.0.0/16")
    _no_ipv6(value)
    try:
        net = IPv4Network(value, strict=False)
    except (AddressValueError, NetmaskValueError) as error:
        raise refuse("not an IPv4 network", "an address and a prefix length, such as 10.244.0.0/16") from error
    if str(net) != value:
        raise refuse("not the first address of that network, or not in prefix form", "network/prefix", f"write '{net}'")
    if net.is_loopback or net.is_link_local or net.is_multicast or net.network_address.is_unspecified:
        raise refuse("a network that cannot be routed between hosts", "a private network such as 10.244.0.0/16")
    return net


def _no_ipv6(value: str) -> None:
    if value.count(":") > 1:
        raise refuse("IPv6 is not supported yet", "an IPv4 address or network")


def address(value: str) -> str:
    """An IPv4 address or a DNS name."""
    if re.fullmatch(r"[0-9.]+", value):
        return str(ipv4(value))
    _no_ipv6(value)
    if "@" in value or ":" in value:
        raise refuse(
            "user or port written into the address",
            "an IPv4 address or a DNS name",
            "write `address: HOST`, `user: NAME`, `port: NUMBER`",
        )
    return dns_name(value)


def endpoint(value: str) -> str:
    """HOST:PORT."""
    if value.count(":") > 1:
        raise refuse("not HOST:PORT, and IPv6 is not supported yet", "HOST:PORT such as api.example.org:6443")
    host, colon, port = value.partition(":")
    if not colon:
        raise refuse("the port is missing", "HOST:PORT", f"write '{value}:6443'")
    if not re.fullmatch(r"[1-9][0-9]{0,4}", port) or int(port) > 65535:
        raise refuse("not a port", "HOST:PORT with a port from 1 to 65535")
    address(host)
    return value


def jump_hosts(value: object) -> str:
    """One or more [USER@]HOST[:PORT], a list or with commas between them, the first to be connected to first."""
    hops = value.split(",") if isinstance(value, str) else value
    if not isinstance(hops, list) or not hops or not all(isinstance(hop, str) for hop in hops):
        raise refuse("not jump hosts", "[USER@]HOST[:PORT], or a list of them")
    return ",".join(jump_host(hop.strip()) for hop in hops)


def jump_host(value: str) -> str:
    """[USER@]HOST[:PORT]."""
    if not value:
        raise refuse("a jump host is empty", "[USER@]HOST[:PORT]")
    user, at, rest = value.rpartition("@")
    if at:
        user_name(user)
    if ":" in rest:
        endpoint(rest)
    else:
        address(rest)
    return value


def user_name(value: str) -> str:
    if _USER.match(value):
        return value
    raise refuse(
        "not a user name", "letters, digits, '_', '.', '@', '+' and '-', not beginning with '-'; or DOMAIN\\NAME"
    )


def path_text(value: str) -> str:
    if value and (value[0] != "~" or value.startswith("~/")):
        return value
    raise refuse("not a path", "a path, relative to the inventory's folder, absolute, or beginning with '~/'")


def variable_name(value: str) -> str:
    if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", value):
        return value
    raise refuse("not the name of an environment variable", "letters, digits and '_', not beginning with a digit")


def host_key(value: str) -> str:
    words = value.split(" ")
    proper = f"TYPE BASE64 with TYPE one of {', '.join(_KEY_TYPES)}"
    todo = "take the line that `ssh-keyscan HOST` or the machine's console shows, without the host's name"
    if len(words) < 2 or words[0] not in _KEY_TYPES:
        raise refuse("not an SSH host key", proper, todo)
    try:
        blob = base64.b64decode(words[1], validate=True)
    except (binascii.Error, ValueError) as error:
        raise refuse("not an SSH host key: its second word is not base64", proper, todo) from error
    kind = words[0].encode()
    if not blob.startswith(len(kind).to_bytes(4, "big") + kind):
        raise refuse("not an SSH host key: the type does not fit the key", proper, todo)
    return " ".join(words[:2])


def version(value: str) -> str:
    if _VERSION.match(value):
        return value
    todo = f"write '{value[1:]}'" if value[:1] in "vV" and _VERSION.match(value[1:]) else ""
    raise refuse("not a version", "numbers with dots, such as 1.37 or 1.37.2", todo)


def mirror(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise refuse("not a base URL", "https://HOST or https://HOST/PATH")
    if parts.username is not None or parts.password is not None:
        raise refuse(
            "a URL with a user or password in it", "a URL without credentials", "use a mirror that asks for none"
        )
    return value.rstrip("/")


def qualified_key(value: str) -> str:
    """A label's or taint's key: [PREFIX/]NAME (source: Kubernetes, labels and selectors)."""
    prefix, slash, name = value.rpartition("/")
    if slash:
        dns_name(prefix)
    if not _QUALIFIED.match(name):
        raise refuse(
            "not a label key",
            "[PREFIX/]NAME: PREFIX a DNS name, NAME at most 63 letters, digits, '-', '_' and '.', "
            "beginning and ending with a letter or digit",
        )
    return value


def label_key(value: str) -> str:
    if value in _KUBELET_LABELS:
        raise refuse("a label that the kubelet sets itself", "another key", "remove it")
    return qualified_key(value)


def label_value(value: str) -> str:
    if value == "" or _QUALIFIED.match(value):
        return value
    raise refuse(
        "not a label value",
        "empty, or at most 63 letters, digits, '-', '_' and '.', beginning and ending with a letter or digit",
    )


def taint(value: Any) -> Taint:
    """KEY[=VALUE]:EFFECT, as kubectl writes it."""
    if isinstance(value, Taint):
        return value
    form = f"KEY:EFFECT or KEY=VALUE:EFFECT with EFFECT one of {', '.join(_EFFECTS)}"
    if not isinstance(value, str):
        raise refuse("not a taint", form, "write the taint as text, such as 'dedicated=db:NoSchedule'")
    rest, colon, effect = value.rpartition(":")
    if not colon:
        raise refuse("a taint without an effect", form)
    for known in _EFFECTS:
        if effect == known:
            key, _, worth = rest.partition("=")
            if key.rpartition("/")[0] in _OWN_TAINTS:
                raise refuse(
                    "a taint that Kubernetes itself puts on nodes and takes away, by what becomes of them",
                    "a key of your own, such as dedicated",
                    "to keep pods off a node for a while: `kubectl cordon NODE`",
                )
            return Taint(key=qualified_key(key), value=label_value(worth), effect=known)  # type: ignore[arg-type]
    fit = [known for known in _EFFECTS if known.lower() == effect.lower()]
    raise refuse("a taint with an unknown effect", form, f"write '{rest}:{fit[0]}'" if fit else "")


def flag_name(value: str) -> str:
    if _FLAG.match(value):
        return value
    bare = value.lstrip("-").replace("_", "-").lower()
    raise refuse(
        "not a flag's name",
        "lower case letters, digits and '-', without the leading '--'",
        f"write '{bare}'" if _FLAG.match(bare) else "",
    )


def flag_value(value: Any) -> FlagText:
    """Flags are text on a command line; whole numbers and true/false are taken as they are spelled, lists item by item."""
    if isinstance(value, list | tuple) and value:
        return tuple(_flag_word(item) for item in value)
    return _flag_word(value)


def _flag_word(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        raise refuse("a number with a fraction, whose digits YAML may change", "text in quotes", "put it into quotes")
    raise refuse("not a flag's value", "text, a whole number, true or false, or a list of them ([a, b])")


def check_name(value: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9]+([-_.:][A-Za-z0-9]+)*", value):
        return value
    raise refuse("not a check's name", "a name as a refused run prints it with its finding, DiskSpace for example")


DnsLabel = Annotated[str, AfterValidator(dns_label)]
DnsName = Annotated[str, AfterValidator(dns_name)]
HostName = Annotated[str, AfterValidator(host_name)]
ProviderId = Annotated[str, AfterValidator(provider_id)]
Address = Annotated[str, AfterValidator(address)]
NodeAddress = Annotated[IPv4Address, BeforeValidator(node_address, json_schema_input_type=str)]
ServiceAddress = Annotated[IPv4Address, BeforeValidator(ipv4, json_schema_input_type=str)]
Network = Annotated[IPv4Network, BeforeValidator(network, json_schema_input_type=str)]
Endpoint = Annotated[str, AfterValidator(endpoint)]
JumpHosts = Annotated[str, BeforeValidator(jump_hosts, json_schema_input_type=str | list[str])]
UserName = Annotated[str, AfterValidator(user_name)]
VariableName = Annotated[str, AfterValidator(variable_name)]
HostKey = Annotated[str, AfterValidator(host_key)]
Version = Annotated[str, AfterValidator(version)]
Mirror = Annotated[str, AfterValidator(mirror)]
LabelKey = Annotated[str, AfterValidator(label_key)]
LabelValue = Annotated[str, AfterValidator(label_value)]
TaintText = Annotated[Taint, BeforeValidator(taint, json_schema_input_type=str)]
FlagName = Annotated[str, AfterValidator(flag_name)]
FlagValue = Annotated[
    str | tuple[str, ...],
    BeforeValidator(flag_value, json_schema_input_type=str | int | bool | list[str | int | bool]),
]
CheckName = Annotated[str, AfterValidator(check_name)]
PathText = Annotated[str, AfterValidator(path_text)]
