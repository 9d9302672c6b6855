"""Images that are in no registry, where every start of a pod asks one."""

from __future__ import annotations

from kprov.preflight.pulls import check
from kprov.values.api_settings import AdmissionSettings, ApiSettings
from kprov.values.model import Cluster
from kprov.values.resources import Artifact


def cluster(*plugins: str, ignore: tuple[str, ...] = ()) -> Cluster:
    api = ApiSettings(admission=AdmissionSettings(enable=plugins))
    return Cluster(name="a", versions={}, hosts=(), api=api, preflight_ignore=frozenset(ignore))


def image(reference: str) -> Artifact:
    return Artifact(name="x", version="1", arch="amd64", sha256="0", size=1, local="/x", reference=reference)


BUILT = image("kprov.local/coredns:1.14.7")


def test_images_that_were_built_here_cannot_be_pulled() -> None:
    (problem,) = check(cluster("AlwaysPullImages"), [image(""), image("registry.k8s.io/pause:3.10.2"), BUILT, BUILT])
    assert problem.severity == "error"
    assert problem.found == "kprov.local/coredns:1.14.7"
    assert problem.key == "cluster.admission.enable"
    assert "cluster DNS" in problem.what
    (ignored,) = check(cluster("AlwaysPullImages", ignore=("AlwaysPullImages",)), [BUILT])
    assert ignored.severity == "warning"


def test_upstreams_own_can_and_without_the_plugin_nobody_asks() -> None:
    assert check(cluster("AlwaysPullImages"), [image("registry.k8s.io/coredns/coredns:v1.14.7")]) == ()
    assert check(cluster("Priority"), [BUILT]) == ()
