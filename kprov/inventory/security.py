"""The page on what is closed by default, rendered from the table that tests and `kprov verify` read.

`python -m kprov.inventory.security docs/security.md` writes the page.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path

from kprov.values.exposure import LEVELS, OPEN
from kprov.values.security import ROWS, Row

_INTRODUCTION = """\
# Security

This page is rendered from the table that tests hold the components against and that `kprov verify` looks for on the
machines, a row each: `python -m kprov.inventory.security docs/security.md` renders it again. Ids are those of the CIS
Kubernetes Benchmark 1.12. "fixed" says that kprov's own parts rely on a row. How doors are opened and closed in upstream's
own words is on the page [access](access.md).
"""

_MORE = """\
## What else is on by default

- **Keys of the CAs** are in the operator's state folder and on no host: whoever has a host cannot make certificates.
  `--passphrase-file` encrypts them on disk.
- **Every component** has a certificate, a user and a folder of its own; secrets are mode 0600: one that is taken over is one.
- **Units** run without rights that they do not need. What `systemd-analyze security` says of each, from 0 (nothing is open)
  to 10, is at most this (`kprov verify` asks each machine, drop-ins included):

@units@
  Of the last two each line that stays open is [below](#what-stays-open-in-units-and-why).
- **Pods** reach neither etcd (2379, 2380), sshd, kubelet (10250) nor kube-proxy (10256) of the hosts, nor the cloud's
  metadata, by IPv4 and IPv6 (networks `routed` and `vxlan`). `network: {hosts: open}` opens them. Of what kprov runs on
  hosts, pods reach:

  | port | when | why, and what guards it |
  | --- | --- | --- |
  | 6443, API servers | always | pods ask the API; certificates and tokens |
  | 10250, kubelet | to pods of metrics-server and monitoring | they read it; with `policies: off`, all pods may knock |
  | 10270, metrics proxy | with monitoring | its pod reads it. One client certificate is let in, to metrics alone |
  | the DNS cache (169.254.20.10) | with node-local-dns | pods ask it |

  `kprov verify` looks for the rules in the kernel of each node. All else listens on loopback. What you run on hosts beside
  it, pods reach: a NetworkPolicy of egress closes that too.
- **NetworkPolicies** are enforced on every node with the networks `routed` and `vxlan`
  ([networks](networks.md#networkpolicies));
  `calico` and `cilium` do so by themselves. Where nothing enforces them, `kprov plan` and `kprov status` count those that
  stand there, and `kprov verify` fails.
- **Namespaces of add-ons** enforce `restricted`, or the add-on says why not.
- **Pod Security** warns and audits at `baseline` elsewhere, and refuses nothing: `admission: {pod_security: {enforce: …}}`.

## What is left to you

- **NetworkPolicies** of your namespaces: without one, every pod reaches every pod.
- **Pod Security**: choose a level for your namespaces, by labels or by `admission`.
- **Who may do what**: RBAC for people comes from your issuer's groups ([access](access.md)); the administrator's kubeconfig
  that `kprov kubeconfig` writes may do everything.
- **The operator's computer**: the state folder holds every key. Encrypt it, and keep a copy.
- **The hosts**: their firewall, their updates, who has root there.
- **Images**: where they come from, and whether somebody has signed them.
"""


def render() -> str:
    """Return the page as Markdown, ending with a line break."""
    levels = [f"  | {unit} | {level} |" for unit, level in LEVELS.items()]
    more = _MORE.replace("@units@\n", "\n".join(["  | unit | level |", "  | --- | --- |", *levels, "", ""]))
    return "\n".join([_INTRODUCTION, *map(_section, _units()), more, _open()])


def _open() -> str:
    lines = ["## What stays open in units, and why\n", "| unit | not set | why |", "|---|---|---|"]
    for row in OPEN:
        names = ", ".join(f"`{_name(line)}`" for line in row.lines)
        lines.append(f"| {row.unit} | {names} | {row.why} |")
    return "\n".join(lines) + "\n"


def _name(line: str) -> str:
    """Return a line as a table can show it: a bar would end its cell."""
    words = line.removeprefix("CapabilityBoundingSet=~")
    return {"CAP_NET_(BIND": "CAP_NET_BIND_SERVICE, CAP_NET_BROADCAST, CAP_NET_RAW"}.get(
        words, words.replace("|", "\\|")
    )


def _units() -> Iterable[tuple[str, list[Row]]]:
    rows = sorted(ROWS, key=lambda row: [other.unit for other in ROWS].index(row.unit))
    return ((unit, list(some)) for unit, some in groupby(rows, key=lambda row: row.unit))


def _section(part: tuple[str, list[Row]]) -> str:
    unit, rows = part
    lines = [f"## {unit}\n", "| setting | value | CIS | why | how it is changed |", "|---|---|---|---|---|"]
    for row in rows:
        name = f"`{row.flag}`" if row.file else f"`--{row.flag}`"
        value = row.value if isinstance(row.value, str) else json.dumps(row.value)
        lines.append(f"| {name} | `{value}` | {row.cis} | {row.why} | {row.change} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(render(), encoding="utf-8")
