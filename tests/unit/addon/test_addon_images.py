"""What templates are told of an image: the file nodes are given, else upstream's name, or the mirror's where it must be."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kprov.addon.choose import by_name
from kprov.addon.describe import described, shelf
from kprov.addon.desired import image_references
from kprov.artifacts import build
from kprov.values.model import Cluster, Connection, Host, RegistrySettings
from kprov.values.resources import Artifact
from kprov.values.runtimes import must_rewrite

(METRICS,) = by_name(())
UPSTREAM = "registry.k8s.io/metrics-server/metrics-server:v0.9.0"
MIRROR = RegistrySettings(mirror="mirror.example.org/all")


def test_what_nodes_pull_is_asked_for_at_the_mirror_only_where_it_must_be() -> None:
    assert image_references(METRICS, {}) == {"metrics-server": UPSTREAM}
    assert image_references(METRICS, {}, MIRROR)["metrics-server"].startswith("mirror.example.org/all/")


def test_what_nodes_are_given_keeps_its_name() -> None:
    file = Artifact(
        name="image-metrics-server", version="0.9.0", arch="amd64", sha256="0", size=1, local="x", reference=UPSTREAM
    )
    assert image_references(METRICS, {("image-metrics-server", "amd64"): file}, MIRROR) == {"metrics-server": UPSTREAM}


def test_only_a_runtime_that_cannot_put_a_mirror_in_place_asks_for_it() -> None:
    def cluster(runtime: str) -> Cluster:
        host = Host(name="a", groups=frozenset({"worker"}), connection=Connection(address="192.0.2.1"), runtime=runtime)
        return Cluster(name="c", versions={}, hosts=(host,), registry=MIRROR)

    assert [must_rewrite(cluster(runtime)) for runtime in ("containerd", "crio")] == [False, True]


def test_what_two_add_ons_run_is_one_image() -> None:
    """A node has a name once: what is built for either has to be the same file."""
    on = {addon.name: addon for addon in by_name(["monitoring", "logging"])}
    mine, other = ({image.name: image for image in on[name].images}["vmauth"] for name in ("monitoring", "logging"))
    assert mine.version == other.version
    assert replace(mine.entry, name="") == replace(other.entry, name="")


@pytest.mark.parametrize("name", sorted(shelf(None)))
def test_every_version_that_can_be_built_has_its_modules_pinned(name: str) -> None:
    """kprov offers no version to a user without upstream's files that it would then refuse."""
    folder = shelf(None)[name]
    if not (folder / "addon.yaml").is_file():  # what add-ons share
        return
    addon = described(folder, own=True)
    for parts in addon.versions.values():
        targets = [
            build.image_target(entry, parts[image]) for image, entry in addon.images.items() if entry.package
        ] + [build.target_of(program, parts[word]) for word, program in addon.programs.items() if program.module]
        for target in targets:
            pinned = (target.folder / "go.mod").read_text()
            assert f" v{target.version}" in pinned or target.folder.name == target.name, target.folder
