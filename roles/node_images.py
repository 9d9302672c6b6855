"""The images that kprov puts into a node's runtime, as files: the others are pulled by the runtime itself. Pure."""

from __future__ import annotations

from kprov.values.context import Context
from kprov.values.resources import Artifact

_ALWAYS = ("image-pause", "image-coredns")
_OWN = "kprov.local/"  # what kprov builds is named so


def of(ctx: Context) -> tuple[Artifact, ...]:
    """Return each image once. Two add-ons may run the same; what only has the same name is a mistake, and told as one."""
    names = dict.fromkeys(image.entry.name for addon in ctx.cluster.addons for image in addon.images)
    addons = (ctx.artifacts[(name, ctx.own.arch)] for name in names if (name, ctx.own.arch) in ctx.artifacts)
    images = (*map(ctx.artifact, _ALWAYS), *addons)
    return tuple({(image.reference, image.sha256): image for image in images}.values())


def pinned(ctx: Context) -> tuple[str, ...]:
    """Return patterns that match them all: images that nobody can pull again, so that kubelet must not remove them.

    All that kprov builds is one pattern, so that a further add-on changes nothing.
    """
    others = sorted({image.reference for image in of(ctx) if not image.reference.startswith(_OWN)})
    return (f"{_OWN}*", *others)
