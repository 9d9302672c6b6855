"""The way from the operator's own computer to the page of an add-on: what to open, over which host, and the tunnel."""
