"""The keys of an inventory that name the cloud its machines are of; what its controller takes is its add-on's affair."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from kprov.inventory.fields import DnsLabel


class CloudKeys(BaseModel):
    """The cloud that the machines are of. Every further key is a parameter of its controller."""

    model_config = ConfigDict(strict=True, extra="allow", frozen=True)

    provider: DnsLabel = Field(
        description="aws, azure, digitalocean, gcp, hetzner, openstack, vsphere, or NAME of your own add-on `cloud-NAME`. "
        "All other keys are parameters of its controller: `kprov addons info cloud-aws`, docs/cloud.md."
    )
