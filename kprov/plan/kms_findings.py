"""What an API server says of a KMS that is not well: which one, why, and what leads out of it. Pure.

The sentences are those of k8s.io/apiserver, pkg/server/options/encryptionconfig. Some name the provider, others only its
place among the KMS of the file: then the inventory knows it, and else the place stays all there is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping

from kprov.values.api_settings import EncryptionSettings

# Of several that are not well each begins anew: `[kms-provider-0: …, kms-provider-1: …]`.
_EACH = re.compile(r"kms-provider-(\d+): (.*?)(?=,? kms-provider-\d+: |$)", re.DOTALL)
_NAME = re.compile(r"KMS Provider ([^\s,]+)|kmsv2 Provider (\S+) is not healthy")
_END = re.compile(r'\]?"?\) has prevented the request from succeeding\s*$')
_ENDPOINT = re.compile(r"dial unix (\S+?):")
_REASON = 300  # characters


def is_asked(given: EncryptionSettings, encrypted_by: str) -> bool:
    """Whether API servers read by a KMS: of the inventory, or of the configuration by which objects are written.

    encrypted_by: that configuration as JSON, empty for kprov's own key.
    """
    rows = json.loads(encrypted_by)["resources"] if encrypted_by else ()
    return any("kms" in provider for provider in (*given.providers, *(one for row in rows for one in row["providers"])))


def unwell(given: EncryptionSettings, said: str) -> Iterable[str]:
    """Yield a sentence for each KMS that is not well. said: the answer of an API server, empty where all are."""
    known = [provider["kms"] for provider in given.providers if "kms" in provider]
    for place, why in _EACH.findall(_END.sub("", said.replace("\\n", " ").strip())):
        settings = _settings(known, int(place), why)
        name = _name(why) or str(settings.get("name", "")) or f"number {int(place) + 1}"
        where = f" at {settings['endpoint']}" if settings.get("endpoint") else ""
        yield f"the KMS {name}{where} does not serve its API server: {_reason(why)}"


def _settings(known: list[Mapping[str, str]], place: int, why: str) -> Mapping[str, str]:
    """Return what the inventory says of it: by its name, by its socket, or by its place."""
    socket = _ENDPOINT.search(why)
    for settings in known:
        if settings.get("name") == _name(why) or (socket and settings.get("endpoint") == f"unix://{socket[1]}"):
            return settings
    return known[place] if place < len(known) and not _name(why) and not socket else {}


def _name(why: str) -> str:
    found = _NAME.search(why)
    return (found[1] or found[2]) if found else ""


def _reason(why: str) -> str:
    """Return why, without who says it of whom."""
    text = re.sub(r"^(failed to perform .*?|kmsv2 Provider \S+ is not healthy), error: ", "", why)
    text = text.replace('\\"', '"').replace("\\\\", "").strip()
    return f"{text[:_REASON]} …" if len(text) > _REASON else text
