"""Go's types → the kinds of `values`, and what upstream's usage texts say of a flag → its row in the data. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

# Every type of a flag that the supported versions have; a new one has to be looked at before its flags are described.
_FLAG_KINDS: Mapping[str, str] = {
    "*config.LocalMode": "text",
    "*config.ProxyMode": "text",
    "*featuregate.featureGate": "switches",
    "*flag.BoolTrackerValue": "bool",
    "*flag.ColonSeparatedMultimapStringString": "list",
    "*flag.ConfigurationMap": "list",
    "*flag.IPPortVar": "text",
    "*flag.IPVar": "ip",
    "*flag.LangleSeparatedMapStringString": "list",
    "*flag.MapStringBool": "switches",
    "*flag.MapStringString": "map",
    "*flag.NamedCertKeyArray": "repeated",
    "*flag.RegisterWithTaintsVar": "list",
    "*flag.ReservedMemoryVar": "repeated",
    "*flag.TrackerValue": "text",
    "*flag.boolValue": "bool",
    "*flag.durationValue": "duration",
    "*flag.int64Value": "int",
    "*flag.intValue": "int",
    "*flag.stringValue": "text",
    "*flag.uint64Value": "uint",
    "*flag.uintValue": "uint",
    "*flags.IgnoredFlag": "ignored",
    "*flags.SelectiveStringValue": "text",
    "*flags.SelectiveStringsValue": "text",
    "*flags.StringsValue": "list",
    "*flags.UniqueStringsValue": "list",
    "*flags.UniqueURLs": "list",
    "*flags.uint32Value": "uint",
    "*net.PortRange": "text",
    "*pflag.boolValue": "bool",
    "*pflag.durationValue": "duration",
    "*pflag.flagValueWrapper": "text",  # Go's own kinds below: the programs' own words on it are enough
    "*pflag.float32Value": "float",
    "*pflag.float64Value": "float",
    "*pflag.int32SliceValue": "list",
    "*pflag.int32Value": "int",
    "*pflag.int64Value": "int",
    "*pflag.intValue": "int",
    "*pflag.ipValue": "ip",
    "*pflag.stringArrayValue": "repeated",
    "*pflag.stringSliceValue": "list",
    "*pflag.stringToStringValue": "map",
    "*pflag.stringValue": "text",
    "*pflag.uintValue": "uint",
    "*resource.QuantityValue": "quantity",
    "*verflag.versionValue": "text",
    "v1.verbosityLevelPflag": "int",
    "v1.vmoduleConfigurationPFlag": "list",
}

# Scalars of configuration documents, as Go calls them; what YAML writes for them.
_FIELD_KINDS: Mapping[str, str] = {
    "[]uint8": "text",
    "float32": "float",
    "float64": "float",
    "int32": "int",
    "int64": "int",
    "resource.Quantity": "quantity",
    "resource.QuantityValue": "quantity",
    "runtime.RawExtension": "any",
    "string": "text",
    "uint32": "uint",
    "v1.Duration": "duration",
    "v1.Time": "text",
    "v1.TimeOrMetaDuration": "any",  # Go's nanoseconds, or a duration
    "bool": "bool",
}

# What upstream's usage texts put before the words that a flag takes, up to the end of the sentence.
_CHOICES = re.compile(
    r"(?:Known (?:formats|modes) are|Comma-delimited list of(?: admission plugins)?:|Permitted formats:|"
    r"Supported media types: \[|Possible values(?: are)?:|Valid (?:options|values) (?:are|include)|"
    r"Acceptable options are|one of:|[Oo]nly supports|Supported options are(?!:)|Preferred values:|Insecure values:|"
    r"Use an endpoint reconciler \(|deprecation stage:|on Linux this can be)((?:[^.\])]|\.(?=\S)|\)(?=,))*)"
)
_NOTES = re.compile(r"\([^)]*\)?")  # (default), (gated by …)
_QUOTED = re.compile(r"[\"']([^\"']+)[\"']")
_BETWEEN = re.compile(r"(?:,|\||\s|\bor\b|\band\b)+")
_OVERRULED = re.compile(r"ignored (?:if|when) a config(?:uration)? file is specified", re.IGNORECASE)
_DEPRECATED = re.compile(
    r"DEPRECATED:.*|Deprecated (?:in v|and scheduled).*|[^.]*\b(?:it's deprecated|will be decommissioned).*",
    re.IGNORECASE,
)


def flag_row(name: str, described: Mapping[str, str]) -> str | dict[str, Any]:
    """Return the row of one flag: its kind alone, or a mapping with what else is to be said. KeyError: a new type."""
    kind = "switches" if name == "feature-gates" else _FLAG_KINDS[described["type"]]
    usage = " ".join(described["usage"].split())
    row: dict[str, Any] = {"kind": kind}
    if kind == "switches":
        row["choices"] = "gates"
    elif kind in ("text", "list") and (choices := choices_of(usage)):
        row["choices"] = choices
    if deprecated := _deprecated(described["deprecated"], usage):
        row["deprecated"] = deprecated
    if _OVERRULED.search(usage):
        row["overruled"] = True
    return row if len(row) > 1 else kind


def choices_of(usage: str) -> list[str]:
    """The words that a usage text names as those that a flag takes."""
    found: list[str] = []
    for match in _CHOICES.finditer(usage):
        said = _NOTES.sub(" ", match[1])
        found += _QUOTED.findall(said) or [word.strip("[]") for word in _BETWEEN.split(said) if word.strip("[]")]
    return list(dict.fromkeys(found))


def gates_in(usage: str) -> list[str]:
    """The feature gates that a usage text lists."""
    return sorted(set(re.findall(r"([A-Z]\w+)=true\|false", usage)))


def _deprecated(word: str, usage: str) -> str:
    found = word or (match[0] if (match := _DEPRECATED.search(usage)) else "")
    return re.sub(r"^DEPRECATED: *", "", found.strip())


def type_rows(
    types: Mapping[str, Iterable[Mapping[str, Any]]], words: Mapping[str, list[str]], texts: Mapping[str, list[str]]
) -> dict[str, dict[str, str] | list[str]]:
    """Return the fields of each type with the type of each, and the words of types that take some words only.

    words: of Go's named text types, by their name; texts: of a kubelet's text fields, by lower case name.
    """
    rows: dict[str, dict[str, str] | list[str]] = {}
    for name, fields in sorted(types.items()):
        rows[name] = {field["name"]: _kind(field, name, words, texts) for field in fields}
    rows |= {_short(name): found for name, found in words.items()}
    if "v1beta1.KubeletConfiguration" in types:
        rows |= {f"kubelet {name}": found for name, found in texts.items()}
    return rows


def _kind(field: Mapping[str, Any], owner: str, words: Mapping[str, list[str]], texts: Mapping[str, list[str]]) -> str:
    plain = str(field["name"]).lower()
    if owner == "v1beta1.KubeletConfiguration" and plain in texts:
        return {"string": f"kubelet {plain}", "[]string": f"[kubelet {plain}]"}[field["type"]]
    return _field_kind(field["type"], words)


def _field_kind(name: str, words: Mapping[str, list[str]]) -> str:
    """Go's type → text, int, …, `[…]` for lists and `{…}` for maps of another, or the name of a struct or of words."""
    if name in _FIELD_KINDS:
        return _FIELD_KINDS[name]
    if name.startswith("map[]"):
        return f"{{{_field_kind(name.removeprefix('map[]'), words)}}}"
    if name.startswith("[]"):
        return f"[{_field_kind(name.removeprefix('[]'), words)}]"
    named, _, basic = name.partition("=")
    if basic:
        return _short(named) if named in words else _FIELD_KINDS[basic]
    return name


def _short(name: str) -> str:
    """`k8s.io/kube-proxy/config/v1alpha1.ProxyMode` → `v1alpha1.ProxyMode`, as structs are called."""
    return name.rpartition("/")[2]
