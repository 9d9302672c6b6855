"""Flags that an inventory hands through, against those that the version of the component has. No I/O but package data.

Here is judged what the component itself would refuse at its start, or take without any effect, and what stands against
kprov's own flags.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches

from kprov.artifacts.options import flags as known_flags
from kprov.artifacts.options.fields import types_of
from kprov.artifacts.options.flags import LISTS, Flag, data
from kprov.artifacts.options.values import WORDS, parses
from kprov.inventory import switch_checks
from kprov.inventory.checks import variables_of
from kprov.inventory.fields import FlagText
from kprov.inventory.mistakes import Path
from kprov.inventory.review import Review
from kprov.values.components import BY_NAME
from kprov.values.spelling import did_you_mean

_OFF = frozenset({"false", "f", "0"})
_SHOWN = 6  # words of a long list of choices
# Flags of kubelet whose fields have other names; of all others the field has the same letters.
_KUBELET_FIELDS: Mapping[str, str] = {
    "anonymous-auth": "authentication: {anonymous: {enabled: …}}",
    "authentication-token-webhook": "authentication: {webhook: {enabled: …}}",
    "authentication-token-webhook-cache-ttl": "authentication: {webhook: {cacheTTL: …}}",
    "authorization-mode": "authorization: {mode: …}",
    "authorization-webhook-cache-authorized-ttl": "authorization: {webhook: {cacheAuthorizedTTL: …}}",
    "authorization-webhook-cache-unauthorized-ttl": "authorization: {webhook: {cacheUnauthorizedTTL: …}}",
    "client-ca-file": "authentication: {x509: {clientCAFile: …}}",
    "event-qps": "eventRecordQPS: …",
    "image-gc-high-threshold": "imageGCHighThresholdPercent: …",
    "image-gc-low-threshold": "imageGCLowThresholdPercent: …",
    "minimum-image-ttl-duration": "imageMinimumGCAge: …",
    "pod-max-pids": "podPidsLimit: …",
    "registry-qps": "registryPullQPS: …",
    "reserved-cpus": "reservedSystemCPUs: …",
    "rotate-server-certificates": "serverTLSBootstrap: …",
}


def check(review: Review, versions: Mapping[str, str]) -> None:
    """Note what is wrong with every flag. versions: of each part, empty where Kubernetes' is not right."""
    silent: set[str] = set()
    for place, variables in variables_of(review):
        for component, flags in variables.extra_args.items():
            for name, value in flags.items():
                path = (*place, "extra_args", component, name)
                if not review.sound(*path):
                    continue
                if _is_taken(review, path, component, name):
                    continue
                version = versions.get(known_flags.RELEASES.get(component, ""))
                if version is not None:
                    _of_version(review, path, value, component, version, silent)


def _is_taken(review: Review, path: Path, component: str, name: str) -> bool:
    entry = next((entry for entry in BY_NAME[component].flags or () if entry.has(name)), None)
    if entry is not None:
        review.fault(
            path,
            f"--{name} of {component} cannot be set here: {entry.why}",
            needed="flags that the rest of the cluster does not depend on",
            todo=entry.todo,
        )
    return entry is not None


def _of_version(review: Review, path: Path, value: FlagText, component: str, version: str, silent: set[str]) -> None:
    line = known_flags.minor(version)
    flags = known_flags.flags_of(component, version)
    if flags is None:
        if component not in silent:
            silent.add(component)
            review.caution(
                path, f"kprov does not know the flags of {component} {line}, so that they are not checked", ""
            )
        return
    name = str(path[-1])
    flag = flags.get(name)
    if flag is None:
        _unknown(review, path, component, line, flags)
    elif not (
        _wrong(review, path, flag, value)
        or _impossible(review, path, flag, value, line)
        or (component == "kubelet" and _has_a_field(review, path, flag, version))
    ):
        _cautions(review, path, component, flag)


def _has_a_field(review: Review, path: Path, flag: Flag, version: str) -> bool:
    """Note a flag of kubelet that overrules its configuration file: what fields are judged by would not hold for it."""
    types = types_of(version)
    fields = types["v1beta1.KubeletConfiguration"] if types is not None else ()
    alike = {name.lower(): f"{name}: …" for name in fields}
    field = _KUBELET_FIELDS.get(flag.name) or alike.get(flag.name.replace("-", ""))
    if field is None or not flag.deprecated:
        return False
    review.fault(
        path,
        f"kubelet would take --{flag.name} over the configuration file that kprov writes, judges and goes by",
        needed="the field of KubeletConfiguration",
        todo=f"write `kubelet: {{{field}}}` in its place",
        at_key=True,
    )
    return True


def _unknown(review: Review, path: Path, component: str, line: str, flags: Mapping[str, Flag]) -> None:
    name = str(path[-1])
    others = known_flags.lines_with(component, name)
    what = f"{component} {line} has no flag --{name}"
    if others:
        what += f"; {component} {', '.join(others)} {'has' if len(others) == 1 else 'have'}"
    review.fault(
        path,
        what,
        found=f"--{name}",
        needed=f"a flag that `{component} --help` of {line} names",
        todo=did_you_mean(name, flags) or "remove it",
        at_key=True,
    )


def _wrong(review: Review, path: Path, flag: Flag, value: FlagText) -> bool:
    """Note a value that the program does not take; True when there is one."""
    if not isinstance(value, str) and flag.kind not in LISTS:
        review.fault(path, "a list, and this flag takes one value", needed=WORDS.get(flag.kind, "one text"))
        return True
    for text in (value,) if isinstance(value, str) else value:
        if not parses(flag.kind, text):
            review.fault(path, "the wrong kind of value", needed=WORDS[flag.kind])
            return True
    return _wrong_word(review, path, flag, value)


def _wrong_word(review: Review, path: Path, flag: Flag, value: FlagText) -> bool:
    if not flag.choices:
        return False
    words = parts(value) if flag.kind in LISTS else [str(value)]
    if flag.kind == "switches":
        words = [word.partition("=")[0].strip().removeprefix("kube:") for word in words]
    wrong = [word for word in words if word and word.removeprefix("-") not in flag.choices and word != "*"]
    if wrong:
        review.fault(
            path,
            f"{wrong[0]!r} is not one of the words that this flag takes",
            needed=_some(wrong[0], flag.choices),
            todo=did_you_mean(wrong[0], flag.choices),
        )
    return bool(wrong)


def _impossible(review: Review, path: Path, flag: Flag, value: FlagText, line: str) -> bool:
    """Note switches that the version does not let anybody turn, or no cluster can do without; True when there are some."""
    if flag.name not in ("feature-gates", "runtime-config"):
        return False
    pairs = (word.partition("=") for word in parts(value))
    switched = {name.strip().removeprefix("kube:"): text.strip().lower() not in _OFF for name, _, text in pairs}
    found = data("kubernetes", line) or {}
    if flag.name == "feature-gates":
        wrong = list(switch_checks.locked_gates(switched, found.get("locked", {}), line))
    else:
        wrong = list(switch_checks.apis(switched, found.get("apis", ())))
    for one in wrong:
        review.fault(path, one.what, needed=one.needed, todo=did_you_mean(one.name, one.known) or "remove it")
    return bool(wrong)


def _some(word: str, choices: tuple[str, ...]) -> str:
    """The choices, or of many the most alike."""
    if len(choices) <= 2 * _SHOWN:
        return f"one of {', '.join(choices)}"
    alike = get_close_matches(word, choices, n=_SHOWN, cutoff=0.4) or choices[:_SHOWN]
    return f"one of {len(choices)} words, such as {', '.join(alike)}"


def _cautions(review: Review, path: Path, component: str, flag: Flag) -> None:
    field = {"kubelet": "kubelet", "kube-proxy": "kube_proxy", "kube-scheduler": "kube_scheduler"}.get(component)
    if flag.overruled:
        review.fault(
            path,
            f"{component} ignores --{flag.name} beside the configuration file that kprov writes",
            needed="a setting that has an effect",
            todo=f"write it as a field under `{field}`",
        )
    elif flag.kind == "ignored":
        review.caution(path, f"{component} takes --{flag.name} and ignores it", "remove it")
    elif flag.deprecated:
        review.caution(path, f"--{flag.name} of {component} is deprecated: {flag.deprecated}", "")


def parts(value: FlagText) -> list[str]:
    """The single values of a list, however it is written."""
    texts = (value,) if isinstance(value, str) else value
    return [part.strip() for text in texts for part in text.split(",")]
