"""Why pods are not ready, out of what the API says of them: where they are, what they say, what containers wait for. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from kprov.objects.objects import Object

# Reasons of a waiting container, as kubelet gives them. Source: k8s.io/kubernetes v1.35 to v1.37,
# pkg/kubelet/images/types.go, pkg/kubelet/container/sync_result.go.
_PULLS = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError"})
# kubelet puts this before what the runtime said, for a reader alone; same source, image_manager.go.
_AGAIN = re.compile(r"^Back-off pulling image \"[^\"]*\": (?:ErrImagePull: )?")


def stuck_images(pods: Sequence[Object]) -> list[tuple[str, str, str]]:
    """Return node, reference and the runtime's own words of each image that cannot be pulled, each pair once."""
    found: dict[tuple[str, str], str] = {}
    for pod in pods:
        node = str(pod.get("spec", {}).get("nodeName") or "a node")
        for image, reason, message in _waiting(pod):
            if reason in _PULLS:
                found.setdefault((node, image), _AGAIN.sub("", message) or reason)
    return [(node, image, message) for (node, image), message in found.items()]


def tell_pods(pods: Sequence[Object]) -> Iterator[str]:
    """Yield lines: each pod with its node, below it what it says and what its containers wait for."""
    for pod in pods:
        lines = [f"  {text}" for text in _conditions(pod)]
        lines += [f"  {image}: {reason}: {message}" for image, reason, message in _waiting(pod)]
        if lines:
            node = pod.get("spec", {}).get("nodeName")
            yield f"pod {pod['metadata']['name']}{f' on {node}' if node else ''}"
            yield from lines


def _conditions(pod: Object) -> Iterator[str]:
    for condition in pod.get("status", {}).get("conditions") or ():
        if condition.get("status") == "False" and condition.get("type") in ("Ready", "PodScheduled"):
            message = str(condition.get("message") or "")
            if message:
                yield message


def _waiting(pod: Object) -> Iterator[tuple[str, str, str]]:
    """Image, reason and message of each container that waits."""
    status = pod.get("status", {})
    for container in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())):
        waiting = container.get("state", {}).get("waiting")
        if waiting:
            yield str(container.get("image", "")), str(waiting.get("reason", "")), str(waiting.get("message") or "")
