"""What the operator's disk keeps: the cluster's identity, CAs and keys. It speaks to no host."""
