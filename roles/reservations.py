"""How much of a node is kept for Kubernetes' own daemons and for the system: pure arithmetic, no resources."""

from __future__ import annotations

from collections.abc import Collection

_MIB = 2**20
_GIB = 2**30

# (up to, share): the steps that the large managed services publish for their nodes.
_CPU_STEPS = ((1, 0.06), (2, 0.01), (4, 0.005), (float("inf"), 0.0025))
_MEMORY_STEPS = ((4, 0.25), (8, 0.20), (16, 0.10), (128, 0.06), (float("inf"), 0.02))
_MEMORY_SHARE_LIMIT = 0.25  # of a small machine, so that pods still find room on it


def kube_reserved(cpus: int, memory: int) -> dict[str, str]:
    """Kubelet's, kube-proxy's and the runtime's part, growing more slowly than the machine. memory in bytes."""
    cores = _stepped(cpus, _CPU_STEPS)
    gibibytes = _stepped(memory / _GIB, _MEMORY_STEPS)
    return {
        "cpu": f"{max(60, round(cores * 1000))}m",
        "memory": f"{max(128, min(round(gibibytes * 1024), 4096))}Mi",
        "ephemeral-storage": "1Gi",
    }


def system_reserved(memory: int, groups: Collection[str]) -> dict[str, str]:
    """The system's part; a control plane or etcd member runs those as services beside the pods, and needs more."""
    carries_services = bool(set(groups) & {"control_plane", "etcd"})
    desired = 1536 if carries_services else 256
    room = int(memory * _MEMORY_SHARE_LIMIT / _MIB)
    return {"cpu": "250m" if carries_services else "100m", "memory": f"{min(desired, room)}Mi"}


def _stepped(amount: float, steps: tuple[tuple[float, float], ...]) -> float:
    total, below = 0.0, 0.0
    for limit, share in steps:
        total += max(0.0, min(amount, limit) - below) * share
        below = limit
    return total
