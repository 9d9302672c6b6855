"""The certificates of a cluster: what they must be, who issues them, and when they are renewed."""
