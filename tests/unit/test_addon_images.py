"""What templates are told of an image: the file nodes are given, else upstream's name, or the mirror's where it must be."""

from __future__ import annotations

from kprov.addon.choose import by_name
from kprov.addon.wanted import image_references
from kprov.model import Cluster, Connection, Host, RegistrySettings
from kprov.resources import Artifact
from kprov.runtimes import must_rewrite

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
