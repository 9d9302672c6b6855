"""Certificates that get a new key though nothing is wrong with them: those that were named, and no others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
from observed import in_order, record
from pki_cases import NOW

from kprov.observe.observation import FileState, Observation
from kprov.pki.authority import CertificateAuthority
from kprov.plan.host import HostPlan, plan_host
from kprov.values.certificate import ASKED, AUTHORITIES, NOTHING, Authority, CertificateSpec, Renewal
from kprov.values.resources import Certificate

SPECS = {
    name: CertificateSpec(name=name, authority="kubernetes", common_name=name, client=True)
    for name in ("kubelet-client", "kube-proxy")
}
AUTHORITY: Mapping[Authority, CertificateAuthority] = {
    name: CertificateAuthority.generate(name, "ecdsa-p256", 3650, NOW) for name in AUTHORITIES
}
BUNDLE = {name: one.cert_pem for name, one in AUTHORITY.items()}
RESOURCES = [
    Certificate(path=f"/etc/pki/{name}.crt", key_path=f"/etc/pki/{name}.key", spec=spec) for name, spec in SPECS.items()
]


def host() -> Observation:
    """A host with both certificates, in order."""
    empty = HostPlan(host="one", changes=(), restarts=(), stamps={}, unstamps={})
    seen = in_order({}, empty)
    files, texts, records = dict(seen.files), dict(seen.texts), dict(seen.records)
    for item in RESOURCES:
        issued = AUTHORITY["kubernetes"].issue(item.spec, NOW)
        texts[item.path] = issued.cert_pem
        for path, mode in ((item.path, 0o644), (item.key_path, 0o600)):
            files[path] = FileState(kind="regular file", owner="root", group="root", mode=mode, sha256="x", stat="-")
            records |= dict([record("file", path, "x")])
    return replace(seen, files=files, texts=texts, records=records)


def renewed(renew: Renewal, seen: Observation | None = None) -> dict[str, tuple[str, ...]]:
    plan = plan_host("w1", {"node": RESOURCES}, seen or host(), authorities=BUNDLE, now=NOW, renew=renew)
    return {
        change.resource.spec.name: change.reasons for change in plan.changes if isinstance(change.resource, Certificate)
    }


def test_nothing_is_renewed_unasked() -> None:
    assert renewed(NOTHING) == {}


@pytest.mark.parametrize(
    ("renew", "names"),
    [
        (Renewal(everything=True), set(SPECS)),
        (Renewal(names=frozenset({"w1"})), set(SPECS)),
        (Renewal(names=frozenset({"kube-proxy"})), {"kube-proxy"}),
        (Renewal(names=frozenset({"w2", "etcd-peer"})), set()),
    ],
)
def test_those_that_were_named_get_a_new_key(renew: Renewal, names: set[str]) -> None:
    assert renewed(renew) == dict.fromkeys(names, (ASKED,))


def test_one_that_is_not_there_is_made_for_its_own_reason() -> None:
    seen = host()
    files = {path: state for path, state in seen.files.items() if "kube-proxy" not in path}
    texts = {path: text for path, text in seen.texts.items() if "kube-proxy" not in path}
    found = renewed(Renewal(everything=True), replace(seen, files=files, texts=texts))
    assert found == {"kubelet-client": (ASKED,), "kube-proxy": ("is missing",)}
