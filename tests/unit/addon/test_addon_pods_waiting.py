"""What pods that are not ready wait for, out of their status."""

from __future__ import annotations

from typing import Any

from kprov.addon.pods import stuck_images, tell_pods


def pod(name: str, node: str, *waiting: tuple[str, str, str], message: str = "") -> dict[str, Any]:
    return {
        "metadata": {"name": name},
        "spec": {"nodeName": node} if node else {},
        "status": {
            "conditions": [
                {"type": "Ready", "status": "False", "message": message},
                {"type": "Initialized", "status": "False", "message": "not this one"},
            ],
            "containerStatuses": [
                {"image": image, "state": {"waiting": {"reason": reason, "message": said}}}
                for image, reason, said in waiting
            ],
        },
    }


PODS = (
    pod(
        "web-1",
        "w1",
        ("r/web:1", "ImagePullBackOff", 'Back-off pulling image "r/web:1": ErrImagePull: no such host'),
        ("r/other:2", "ErrImagePull", "not found"),
        ("r/well:3", "CrashLoopBackOff", "back-off 10s"),
        message="containers with unready status: [web]",
    ),
    pod("web-2", "w1", ("r/web:1", "ErrImagePull", "no such host")),
    pod("web-3", "", ("r/WEB:1", "InvalidImageName", "")),
)


def test_each_image_that_cannot_be_pulled_is_told_once_a_node_in_the_runtimes_own_words() -> None:
    assert stuck_images(PODS) == [
        ("w1", "r/web:1", "no such host"),
        ("w1", "r/other:2", "not found"),
        ("a node", "r/WEB:1", "InvalidImageName"),
    ]


def test_pods_are_told_with_what_they_say_and_wait_for() -> None:
    assert list(tell_pods(PODS[:1])) == [
        "pod web-1 on w1",
        "  containers with unready status: [web]",
        '  r/web:1: ImagePullBackOff: Back-off pulling image "r/web:1": ErrImagePull: no such host',
        "  r/other:2: ErrImagePull: not found",
        "  r/well:3: CrashLoopBackOff: back-off 10s",
    ]
    assert list(tell_pods([{"metadata": {"name": "well"}}])) == []
