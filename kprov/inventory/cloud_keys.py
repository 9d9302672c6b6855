"""The keys of an inventory that name the cloud its machines are of; what its controller takes is its add-on's affair."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from kprov.inventory.fields import DnsLabel
from kprov.values.effect import procedure


class CloudKeys(BaseModel):
    """The cloud that the machines are of. Every further key is a parameter of its controller."""

    model_config = ConfigDict(strict=True, extra="allow", frozen=True)

    provider: DnsLabel = Field(
        description="aws, azure, digitalocean, gcp, hetzner, openstack, vsphere, or NAME of your own add-on `cloud-NAME`. "
        "All other keys are parameters of its controller: `kprov addons info cloud-aws`, docs/cloud.md.",
        json_schema_extra=procedure(
            "a cloud may come to a cluster without one, and go. Another one is fixed: it would take all nodes for "
            "machines that are gone and delete them; build a second cluster there"
        ),
    )
