"""For each cloud's controller the least that it has to be told: what an inventory would give it."""

from __future__ import annotations

from typing import Any

GIVEN: dict[str, dict[str, Any]] = {
    "cloud-aws": {"region": "eu-central-1", "access_key_id": {}, "secret_access_key": {}},
    "cloud-azure": {
        **dict.fromkeys(("tenant_id", "subscription_id", "client_id"), "0a"),
        **dict.fromkeys(("resource_group", "location", "vnet", "subnet", "security_group"), "a"),
        "client_secret": {},
    },
    "cloud-digitalocean": {"token": {}},
    "cloud-gcp": {"project": "p", "network": "n", "service_account": {}},
    "cloud-hetzner": {"token": {}},
    "cloud-openstack": {"clouds": {}},
    "cloud-vsphere": {"server": "v", "user": {}, "password": {}, "datacenters": ["d"], "ca": {}},
}
