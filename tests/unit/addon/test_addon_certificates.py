"""A certificate in a Secret stays while it satisfies its row, and is issued with a reason when it does not."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from kprov.addon.certificates import SecretCertificate, filled, listed, secret_certificates
from kprov.objects.objects import Object
from kprov.pki.authority import CertificateAuthority
from kprov.pki.listing import CLUSTER as IN_CLUSTER
from kprov.pki.listing import secret_rows
from kprov.values.addon import Addon, CertificateRow, Description
from kprov.values.certificate import ASKED, AUTHORITIES, NOTHING, Authority, Renewal
from kprov.values.context import Trust
from kprov.values.model import Cluster

NOW = datetime(2026, 6, 1, tzinfo=UTC)
ROW = CertificateRow(secret="tls", common_name="web", usage="server", dns_names=("web.ns.svc.{{ cluster.domain }}",))
CLUSTER = Cluster(name="c", versions={}, hosts=())


@pytest.fixture(scope="module")
def authorities() -> dict[Authority, CertificateAuthority]:
    return {name: CertificateAuthority.generate(name, "ecdsa-p256", 3650, NOW) for name in AUTHORITIES}


def desired(
    authorities: dict[Authority, CertificateAuthority],
    live: Object | None = None,
    row: CertificateRow = ROW,
    now: datetime = NOW,
    bundle: bytes | None = None,
    renew: Renewal = NOTHING,
) -> SecretCertificate:
    description = Description(name="web", folder=Path(), summary="", namespace="ns", certificates=(row,))
    addon = Addon(description=description, version="", parameters={}, images=())
    lives = {("", "Secret", "ns", "tls"): live} if live is not None else {}
    (found,) = secret_certificates(
        CLUSTER, addon, lives, {"domain": "example"}, trust_of(authorities, bundle), now, renew
    )
    return found


def trust_of(authorities: dict[Authority, CertificateAuthority], bundle: bytes | None = None) -> Trust:
    pems = {name: authority.cert_pem for name, authority in authorities.items()}
    trusted = pems if bundle is None else {**pems, "kubernetes": bundle}
    return Trust(bundle=trusted, issuer=pems, service_account_key=b"", service_account_public=b"", encryption_key=b"")


def issued(authorities: dict[Authority, CertificateAuthority], row: CertificateRow = ROW) -> Object:
    first = desired(authorities, row=row)
    made = authorities["kubernetes"].issue(first.spec, NOW)
    return filled(first.secret, made.cert_pem, made.key_pem, authorities["kubernetes"].cert_pem)


def test_one_that_is_not_there_is_issued_with_its_names_filled_in(
    authorities: dict[Authority, CertificateAuthority],
) -> None:
    first = desired(authorities)
    assert first.reason == "is missing"
    assert first.spec.dns_names == ("web.ns.svc.example",)
    assert "data" not in first.secret


def test_one_that_is_right_stays_as_it_lives(authorities: dict[Authority, CertificateAuthority]) -> None:
    live = issued(authorities)
    again = desired(authorities, live)
    assert again.reason == ""
    assert again.secret["data"] == live["data"]


def test_it_is_issued_again_for_a_reason(authorities: dict[Authority, CertificateAuthority]) -> None:
    live = issued(authorities)
    assert "expires in" in desired(authorities, live, now=NOW + timedelta(days=300)).reason
    assert desired(authorities, live, row=replace(ROW, common_name="other")).reason
    data = dict(live["data"])
    assert desired(authorities, {**live, "data": {**data, "tls.key": ""}}).reason == "has lost its key"
    for key in (issued(authorities)["data"]["tls.key"], "b3RoZXI=", "no base64!"):
        assert (
            "does not match its private key" in desired(authorities, {**live, "data": {**data, "tls.key": key}}).reason
        )
    assert desired(authorities, {**live, "data": {**data, "ca.crt": "eA=="}}).reason == "comes with another CA bundle"
    assert desired(authorities, {**live, "data": {**data, "tls.crt": "no base64!"}}).reason == "is missing"
    assert desired(authorities, {**live, "data": None}).reason == "is missing"


def test_who_signs_and_what_is_trusted_are_told_apart(authorities: dict[Authority, CertificateAuthority]) -> None:
    """While a CA is replaced both are trusted and the new one signs."""
    coming = CertificateAuthority.generate("kubernetes", "ecdsa-p256", 3650, NOW)
    both = authorities["kubernetes"].cert_pem + coming.cert_pem
    live = issued(authorities)
    assert desired(authorities, live, bundle=both).reason == "comes with another CA bundle"
    made = authorities["kubernetes"].issue(desired(authorities).spec, NOW)
    renewed = filled(desired(authorities).secret, made.cert_pem, made.key_pem, both)
    assert desired(authorities, renewed, bundle=both).reason == ""
    assert "CA" in desired({**authorities, "kubernetes": coming}, renewed, bundle=both).reason


def test_a_list_of_certificates_tells_end_and_reason_of_those_in_secrets(
    authorities: dict[Authority, CertificateAuthority],
) -> None:
    rows = (ROW, replace(ROW, secret="other"))
    description = Description(name="web", folder=Path(), summary="", namespace="ns", certificates=rows)
    on = replace(CLUSTER, addons=(Addon(description=description, version="", parameters={}, images=()),))
    trust = trust_of(authorities)
    later = NOW + timedelta(days=300)
    other, tls = secret_rows(listed(on, [issued(authorities)], {"domain": "example"}, trust, later), later)
    assert (tls.host, tls.name, tls.path, tls.days_left) == (IN_CLUSTER, "web-tls", "Secret ns/tls", 65)
    assert tls.reason is not None
    assert tls.reason.startswith("expires in 65 days")
    assert (other.name, other.expires, other.days_left, other.reason) == ("web-other", None, None, "is missing")
    (_, fresh) = secret_rows(listed(on, [issued(authorities)], {"domain": "example"}, trust, NOW), NOW)
    assert fresh.reason is None


@pytest.mark.parametrize(
    ("renew", "reason"),
    [
        (Renewal(everything=True), ASKED),
        (Renewal(names=frozenset({"web"})), ASKED),
        (Renewal(names=frozenset({"web-tls"})), ASKED),
        (Renewal(names=frozenset({"other", "cp1"})), ""),
    ],
)
def test_one_that_is_to_get_a_new_key_is_issued_again(
    authorities: dict[Authority, CertificateAuthority], renew: Renewal, reason: str
) -> None:
    assert desired(authorities, issued(authorities), renew=renew).reason == reason
