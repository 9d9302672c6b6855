"""The reference page of the inventory, rendered from its JSON Schema, so that docs and validation cannot part.

`python -m kprov.inventory.reference FILE` writes the page.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from kprov.inventory.schema import HostVariables, json_schema

_INTRODUCTION = """\
# The inventory

This page is rendered from the schema that validates inventories:
`python -m kprov.inventory.reference docs/reference/inventory.md` renders it again.

An inventory is one YAML file with one cluster: `cluster`, `hosts`, and `groups` where they are needed. The samples in
[`inventory/`](../../inventory) are complete. `kprov init HOST…` writes a first one, `kprov validate FILE` checks one:
all mistakes at once, each with `file:line:column`, what was found, what is accepted and the nearest spelling.

## Rules

- **Hosts.** `NAME: ADDRESS` is a worker. Everything else is written out: `NAME: {address: …, groups: […]}`; a host
  without `groups` is a worker. The name becomes the node's name: lower case, RFC 1123, at most 63 characters.
- **Groups.** `etcd`, `control_plane` and `worker`; a host may be in several. When no host is in `etcd`, the control
  planes are etcd's members.
- **Who wins.** The host's own variables, then its groups', then the cluster's. Mappings are put together key by key and
  taints by key and effect; other values replace each other. Where a host is in several groups, a key on which two
  of them disagree is a mistake, unless the host sets it itself.
- **Labels and taints.** Nodes get `node-role.kubernetes.io/control-plane` and `node-role.kubernetes.io/worker` as
  labels by their groups. A control plane that is not a worker gets the taint
  `node-role.kubernetes.io/control-plane:NoSchedule`.
- **Passwords** never stand in the file: `{env: NAME}` reads a variable, `{file: PATH}` a file of mode 0600.
- **Text in quotes** where YAML would read something else: versions (`"1.37"`), `"yes"`, `"no"`, `"on"`, `"off"`,
  numbers with leading zeros. kprov refuses them without quotes and says so. (`swap: off` and
  `policies: on` or `off` are the exceptions.)
- **Limits.** 1 MiB, 20 levels, 100 aliases; no duplicate keys, tags, merge keys (`<<`), control characters, or text
  that begins with `-`. IPv4 only.
"""

_MAPPINGS = (
    ("cluster.pki", "PkiKeys"),
    ("cluster.pki.authority", "AuthoritiesKeys"),
    ("cluster.pki.authority.NAME", "AuthorityKeys"),
    ("cluster.pki.authority.NAME.signer", "SignerKeys"),
    ("cluster.artifacts", "ArtifactKeys"),
    ("cluster.registry", "RegistryKeys"),
    ("cluster.registry.registries.NAME", "RegistryAccessKeys"),
    ("cluster.upgrade", "UpgradeKeys"),
    ("cluster.backup", "BackupKeys"),
    ("cluster.backup.keep", "KeepKeys"),
    ("cluster.backup.sftp", "SftpKeys"),
    ("cluster.backup.s3", "S3Keys"),
    ("cluster.network", "NetworkKeys"),
    ("cluster.cloud", "CloudKeys"),
    ("cluster.authentication", "AuthenticationKeys"),
    ("cluster.authorization", "AuthorizationKeys"),
    ("cluster.audit", "AuditKeys"),
    ("cluster.admission", "AdmissionKeys"),
    ("cluster.admission.pod_security", "PodSecurityKeys"),
    ("cluster.admission.pod_security.exempt", "ExemptKeys"),
    ("cluster.encryption", "EncryptionKeys"),
    ("cluster.coredns", "CorednsKeys"),
    ("cluster.etcd", "EtcdKeys"),
)


def render(schema: Mapping[str, Any] | None = None) -> str:
    """The page as Markdown, ending with a line break."""
    whole = json_schema() if schema is None else schema
    parts = [_section(title, model, whole["$defs"], without) for title, model, without in sections(whole)]
    return "\n".join([_INTRODUCTION, *parts])


def sections(schema: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any], tuple[str, ...]]]:
    """Every mapping of an inventory in the order of the page: title, its schema, and keys that another section has."""
    definitions: Mapping[str, Any] = schema["$defs"]
    shared = tuple(HostVariables.model_fields)
    yield "Top level", schema, ()
    yield "`cluster`", definitions["ClusterKeys"], shared
    yield from ((f"`{path}`", definitions[name], ()) for path, name in _MAPPINGS)
    yield "`hosts.NAME`", definitions["HostKeys"], shared
    yield "Variables: under `cluster`, `groups.GROUP` and `hosts.NAME`", definitions["HostVariables"], ()
    yield "`handlers.NAME`", definitions["HandlerKeys"], ()
    yield "`password` and `become_password`", definitions["SecretReference"], ()


def _section(title: str, model: Mapping[str, Any], definitions: Mapping[str, Any], without: tuple[str, ...]) -> str:
    rows = "\n".join(_rows(model, definitions, without))
    return f"## {title}\n\n| key | value | default | meaning |\n|---|---|---|---|\n{rows}\n"


def _rows(model: Mapping[str, Any], definitions: Mapping[str, Any], without: tuple[str, ...]) -> Iterator[str]:
    required = model.get("required", ())
    for key, field in model["properties"].items():
        if key in without:
            continue
        default = "**required**" if key in required else _default(field)
        yield f"| `{key}` | {_kind(field, definitions)} | {default} | {field['description']} |"


def _default(field: Mapping[str, Any]) -> str:
    value = field.get("default")
    return "" if value is None else f"`{value if isinstance(value, str) else json.dumps(value)}`"


def _kind(field: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    """A field's type in words; bounds included."""
    if "enum" in field or "const" in field:
        return ", ".join(f"`{word}`" for word in field.get("enum", [field.get("const")]))
    if "anyOf" in field:
        return " or ".join(_kind(choice, definitions) for choice in field["anyOf"])
    if "$ref" in field:
        target = definitions[field["$ref"].rpartition("/")[2]]
        return "a reference" if target["title"] == "SecretReference" else "mapping"
    if field["type"] == "array":
        return f"list of {_kind(field['items'], definitions)}"
    if field["type"] == "object":
        return "mapping"
    if field["type"] == "integer" and "minimum" in field:
        return f"{field['minimum']} to {field['maximum']}"
    return {"string": "text", "integer": "whole number", "boolean": "true, false"}[field["type"]]


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(render(), encoding="utf-8")
