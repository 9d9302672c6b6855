"""The keys of `cluster.pki`. Shape only, as in schema.py."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from kprov.inventory.fields import PathText
from kprov.inventory.keys import Keys
from kprov.values.effect import free, procedure, restarts

Word = Annotated[str, Field(min_length=1, max_length=4096)]


class SignerKeys(Keys):
    """A program that signs."""

    command: list[Word] = Field(
        min_length=1,
        max_length=100,
        description="Program and arguments, without a shell; run in the inventory's folder. It gets a request (PEM) on "
        "standard input and writes the certificate (PEM) to standard output.",
        json_schema_extra=free("the next certificate is asked of it"),
    )
    timeout: int = Field(
        default=30,
        ge=1,
        le=600,
        description="Seconds that it may take for one certificate.",
        json_schema_extra=free(),
    )


class AuthorityKeys(Keys):
    """A CA of your own. One of `key` and `signer`."""

    certificate: PathText = Field(
        description="PEM file with the CA's certificate, followed by all above it up to the root. Relative paths start "
        "at the inventory's folder.",
        json_schema_extra=procedure("`kprov certs rotate INVENTORY KIND` brings the new CA; `up` refuses it"),
    )
    key: PathText | None = Field(
        default=None,
        description="PEM file with its private key, mode 0600. It stays where it is: it is copied neither to hosts nor "
        "into the state folder.",
        json_schema_extra=free("it is the key of that certificate, wherever it lies"),
    )
    signer: SignerKeys | None = Field(
        default=None, description="Program that signs, where the key is in a vault or an HSM."
    )


class AuthoritiesKeys(Keys):
    """The three CAs of a cluster; kprov makes those that are not named."""

    kubernetes: AuthorityKeys | None = Field(
        default=None, description="For API servers, kubelets and people. Whom it signs for, this cluster lets in."
    )
    etcd: AuthorityKeys | None = Field(default=None, description="For etcd and its clients.")
    front_proxy: AuthorityKeys | None = Field(
        default=None, description="By which API servers prove themselves to servers behind them."
    )


class PkiKeys(Keys):
    """Key algorithm and lifetimes."""

    algorithm: Literal["ecdsa-p256", "rsa-2048", "rsa-3072", "rsa-4096"] = Field(
        default="ecdsa-p256",
        description="Algorithm of all keys made from now on.",
        json_schema_extra=restarts(
            "what cannot reload its certificate", note="all certificates are issued again; the CAs keep their keys"
        ),
    )
    ca_days: int = Field(
        default=3650,
        ge=1,
        le=36500,
        description="Life of the CAs, in days.",
        json_schema_extra=free("CAs that exist keep their end"),
    )
    leaf_days: int = Field(
        default=365,
        ge=1,
        le=36500,
        description="Life of all other certificates, in days.",
        json_schema_extra=free("from the next renewal on"),
    )
    renew_before_days: int = Field(
        default=120,
        ge=0,
        le=36500,
        description="`kprov up` renews a certificate that lives fewer days than this.",
        json_schema_extra=free("certificates are renewed earlier or later"),
    )
    authority: AuthoritiesKeys = Field(
        default_factory=AuthoritiesKeys, description="CAs of your own, in the place of those that kprov makes."
    )
