"""Paths on hosts that more than roles must know. Names only."""

BIN = "/opt/kprov/bin"
POD_CIDRS = "/etc/kprov/pod-cidrs"  # every node's record of all nodes' pod networks
NETWORK_MODE = "/etc/kprov/network-mode"  # every node's record of the network that it has now
