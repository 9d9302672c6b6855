"""Takes secrets out of text before anybody sees it: values that were registered, and private keys wherever they are.

The last line of defence: no part of kprov puts a secret into text on purpose.
"""

from __future__ import annotations

import re
from dataclasses import fields, replace
from typing import Any, TypeVar

MASK = "***"
_SHORTEST = 4  # characters; masking shorter ones would eat ordinary words

_PRIVATE_KEY = re.compile(
    r"-----BEGIN (?P<kind>[A-Z0-9 ]*PRIVATE KEY)-----.*?(?:-----END (?P=kind)-----|\Z)", re.DOTALL
)
# Fields of kubeconfigs and Kubernetes Secrets that hold keys and tokens, as YAML or JSON has them.
_FIELD = re.compile(r"(?P<name>(?:client-key-data|token|password|secret)\"?\s*[:=]\s*)(?P<value>\"[^\"]*\"|\S+)")

T = TypeVar("T")


class Redactor:
    """Knows the secrets of a run. `clean` is cheap and may be called from any thread."""

    def __init__(self) -> None:
        self._values: tuple[str, ...] = ()

    def learn(self, *secrets: str) -> None:
        """Secrets as plain text, several lines allowed: each line is masked by itself too."""
        words = {line.strip() for secret in secrets for line in (secret, *secret.splitlines())}
        known = {word for word in words if len(word) >= _SHORTEST} | set(self._values)
        self._values = tuple(sorted(known, key=len, reverse=True))

    def clean(self, text: str) -> str:
        """The text with every secret replaced by `***`."""
        for value in self._values:
            if value in text:
                text = text.replace(value, MASK)
        text = _PRIVATE_KEY.sub(MASK, text)
        return _FIELD.sub(lambda match: match["name"] + MASK, text)

    def event(self, event: T) -> T:
        """The same event (a dataclass) with every text in it cleaned."""
        changed: dict[str, Any] = {}
        for field in fields(event):  # type: ignore[arg-type]
            value = getattr(event, field.name)
            if isinstance(value, str) and (cleaned := self.clean(value)) != value:
                changed[field.name] = cleaned
        return replace(event, **changed) if changed else event  # type: ignore[type-var]
