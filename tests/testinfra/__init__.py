"""The checks that `kprov verify` runs against the machines of an inventory: they ask the machines, never kprov."""
