"""The component roles of kprov: each a pure function from cluster, host and facts to the resources it wants there."""
