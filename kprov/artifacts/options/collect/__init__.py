"""The development command that makes the data of `options` from upstream's own programs, built from pinned modules."""
