"""Networks of IPv4 as ranges of numbers: what an ipBlock leaves, and what several of them are together. Pure."""

import ipaddress
from typing import Any, Dict, Iterable, List, Tuple

Range = Tuple[int, int]
ALL = [(0, 2**32 - 1)]


def of_block(written: "Dict[str, Any]") -> "List[Range]":
    """Return the addresses of an ipBlock as ranges: its network without what is excepted. Of IPv6 there are none here."""
    net = ipaddress.ip_network(written["cidr"], strict=False)
    if net.version != 4:
        return []
    left = [(int(net.network_address), int(net.broadcast_address))]
    for text in written.get("except") or ():
        away = ipaddress.ip_network(text, strict=False)
        if away.version == 4:
            low, high = int(away.network_address), int(away.broadcast_address)
            left = [
                part
                for first, last in left
                for part in ((first, min(last, low - 1)), (max(first, high + 1), last))
                if part[0] <= part[1]
            ]
    return left


def merged(ranges: "Iterable[Range]") -> "List[Range]":
    """Return ranges that neither overlap nor touch: nft takes no others."""
    result: "List[Range]" = []
    for low, high in sorted(ranges):
        if result and low <= result[-1][1] + 1:
            result[-1] = (result[-1][0], max(result[-1][1], high))
        else:
            result.append((low, high))
    return result


def as_text(part: "Range") -> str:
    """Return a range as nft reads it."""
    low, high = (str(ipaddress.IPv4Address(number)) for number in part)
    return low if low == high else "%s-%s" % (low, high)
