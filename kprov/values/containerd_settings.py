"""Where the settings of an inventory's `containerd:` stand in containerd's file. Values only."""

from __future__ import annotations

RUNTIME_TABLE = "io.containerd.cri.v1.runtime"
# What stands at the top of containerd's file; every other setting of an inventory is one of the CRI's runtime table.
TOP_LEVEL = frozenset(
    (
        "version",
        "root",
        "state",
        "temp",
        "debug",
        "disabled_plugins",
        "required_plugins",
        "plugins",
        "oom_score",
        "cgroup",
    )
) | frozenset(("proxy_plugins", "timeouts", "imports", "stream_processors", "grpc", "ttrpc", "metrics"))


def path_of(name: str) -> tuple[str, ...]:
    """Return the path in containerd's file of a key of the inventory."""
    return (name,) if name in TOP_LEVEL else ("plugins", RUNTIME_TABLE, name)
