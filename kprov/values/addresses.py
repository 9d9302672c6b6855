"""Addresses with ports and prefixes as text. Values only."""

from __future__ import annotations


def hostport(address: object, port: int) -> str:
    """Return `ADDRESS:PORT`, an IPv6 address in brackets (RFC 3986, 3.2.2)."""
    return f"[{address}]:{port}" if ":" in str(address) else f"{address}:{port}"


def host_of(endpoint: str) -> str:
    """Return the host of `HOST:PORT` or `[IPV6]:PORT`; an endpoint without a port is the host."""
    host = endpoint.rpartition(":")[0] or endpoint
    return host.removeprefix("[").removesuffix("]")


def bare(address: str) -> str:
    """Return an interface's `ADDRESS/PREFIX` without the prefix."""
    return address.partition("/")[0]
