"""What things are, as frozen values. It imports nothing of kprov, does no I/O and decides nothing."""
