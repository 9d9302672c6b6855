"""What is wrong with pods as the API shows them: too many or too few, not ready, evicted. Asks nothing itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def conditions(item: Any) -> Mapping[str, Any]:
    """By type."""
    return {row["type"]: row for row in item.get("status", {}).get("conditions", ())}


def complaints(pods: Iterable[Any], desired: int) -> list[str]:
    """What is wrong with the pods of a workload that shall have so many.

    One that has ended counts for nothing: its controller has made another, and the API keeps it only to be read.
    """
    living = [pod for pod in pods if not finished(pod)]
    found = [f"{pod['metadata']['name']}: {what}" for pod in living if (what := complaint(pod))]
    return found if len(living) == desired else [f"{len(living)} pods, not {desired}", *found]


def complaint(pod: Any) -> str:
    """What is wrong with a pod, empty when it runs as it should."""
    for container in pod["status"].get("containerStatuses", ()):
        if waiting := container["state"].get("waiting"):
            return f"{container['image']}: {waiting.get('reason')}: {waiting.get('message', '')}"
    ready = conditions(pod).get("Ready", {})
    if pod["status"]["phase"] != "Running" or ready.get("status") != "True":
        return f"{pod['status']['phase']}: {ready.get('message', '')}"
    return ""


def finished(pod: Any) -> bool:
    """Whether it will never run again."""
    return pod["status"].get("phase") in ("Succeeded", "Failed")


def evictions(pods: Iterable[Any]) -> dict[str, str]:
    """By pod, what kubelet said when it took it off its node."""
    return {
        pod["metadata"]["name"]: f"on {pod['spec'].get('nodeName', '')}: {pod['status'].get('message', '')}"
        for pod in pods
        if finished(pod) and pod["status"].get("reason") == "Evicted"
    }
