"""The keys of `cluster.network`, and its short form, one word. Shape only, as in schema.py."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from kprov.inventory.fields import refuse
from kprov.values.effect import procedure, restarts
from kprov.values.model import NetworkMode
from kprov.values.spelling import did_you_mean


class NetworkKeys(BaseModel):
    """The pod network."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    mode: NetworkMode = Field(
        default="routed",
        description="`routed`: host routes, for hosts in one network; `vxlan`: a tunnel, for hosts apart; `flannel`, "
        "`calico`, `cilium`: the add-on of that name, with its parameters below `addons`; `none`: kprov lays no pod "
        "network, and nodes stay NotReady until yours is there.",
        json_schema_extra=procedure(
            "routed and vxlan: node by node, in place, without --limit. Any other is fixed: build a second cluster "
            "and move there (docs/networks.md)"
        ),
    )
    vni: int = Field(
        default=4096,
        ge=1,
        le=2**24 - 1,
        description="VXLAN network identifier; for `vxlan`.",
        json_schema_extra=restarts(
            "kprov-network", note="on all nodes at once, without --limit; connections between nodes stall for seconds"
        ),
    )
    port: int = Field(
        default=4789,
        ge=1,
        le=65535,
        description="UDP port of VXLAN, open between all nodes; for `vxlan`.",
        json_schema_extra=restarts(
            "kprov-network", note="on all nodes at once, without --limit; connections between nodes stall for seconds"
        ),
    )
    mtu: int | None = Field(
        default=None,
        ge=576,
        le=65535,
        description="MTU of pods' interfaces; default: that of the link with the node's address, for `vxlan` less 50. "
        "Smaller where the way between hosts carries less than their links. For `routed` and `vxlan`.",
        json_schema_extra=restarts("kprov-network", note="pods keep the MTU that they were made with"),
    )
    hosts: Literal["closed", "open"] | None = Field(
        default=None,
        description="`closed`: pods that are not on their host's network reach neither etcd, sshd, kubelet and "
        "kube-proxy of the cluster's hosts nor the cloud's metadata address (169.254.169.254, DNS apart). kubelet is open "
        "to the pods of metrics-server and monitoring, which read its metrics; with `policies: off`, to all pods while one "
        "of both is enabled. For `routed` and `vxlan`; default: `closed`, but a cluster made before there was this key "
        "stays open until it is written.",
        json_schema_extra=restarts(
            "kprov-network", "kprov-policies", note="pods that use these ports or the metadata lose them at once"
        ),
    )
    policies: Literal["on", "off"] = Field(
        default="on",
        description="`on`: each NetworkPolicy is enforced on every node; `off`: none is, and kprov counts those that stand "
        "there. For `routed` and `vxlan`.",
        json_schema_extra=restarts(
            "kprov-policies", note="every NetworkPolicy that stands there holds from then on, or no more"
        ),
    )


def _mode_alone(value: Any) -> Any:
    if isinstance(value, dict | NetworkKeys):
        return value
    modes = get_args(NetworkMode)
    if value in modes:
        return {"mode": value}
    what = "not one of the accepted words" if isinstance(value, str) else "the wrong kind of value"
    raise refuse(what, f"one of {', '.join(modes)}, or a mapping (`key: value` lines)", did_you_mean(str(value), modes))


NetworkEntry = Annotated[NetworkKeys, BeforeValidator(_mode_alone, json_schema_input_type=NetworkMode | NetworkKeys)]
