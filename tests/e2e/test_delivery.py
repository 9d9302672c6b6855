"""How binaries and images reach a host: a real machine that downloads by itself, or is sent what it cannot reach."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import Make
from lab_cluster import LabCluster, Ran
from mirror_site import Site, serving

from kprov.artifacts import catalog, own_image
from kprov.artifacts.build import build_all
from kprov.artifacts.cache import Cache, default_root
from kprov.artifacts.needed import needed
from kprov.artifacts.progress import Silent
from kprov.artifacts.upstream import downloads_of
from kprov.values.model import Cluster
from kprov.values.resources import Artifact

pytestmark = pytest.mark.lab

VERSIONS = catalog.resolve_versions("")
SMALL = 2_000_000  # bytes: files, units and certificates of a whole host
PROGRAMS = "sha256sum /opt/kprov/bin/* /opt/cni/bin/* && stat -c '%n %a %U:%G %F' /opt/kprov/bin/* /opt/cni/bin/*"
KUBECTL = "/opt/kprov/bin/kubectl"
# These are in upstream's archives, and on no host.
UNUSED = {"etcdutl", "cni-firewall"}
COMPONENTS = needed(Cluster(name="c", versions=VERSIONS, hosts=())).components
HOST_PROGRAMS = {name for part in COMPONENTS for name in catalog.load().components[part].programs} - UNUSED
# No unit reads these: nothing restarts when they come again.
TOOLS = (KUBECTL, "/opt/kprov/bin/etcdctl", "/opt/kprov/bin/ctr", "/opt/cni/bin/portmap", "/opt/cni/bin/host-local")


def built() -> dict[str, Artifact]:
    """What `make artifacts` has built: every program and image by catalog name."""
    root = default_root()
    found = build_all(COMPONENTS, "amd64", root, Silent())
    for name in ("image-pause", "image-coredns"):
        entry = catalog.load().images[name]
        found[name] = own_image.make(entry, VERSIONS[entry.component], "amd64", Cache(root), Silent())
    return found


class Delivery:
    """One machine, a site it can reach, and an operator with an empty cache of its own."""

    def __init__(self, cluster: LabCluster, site: Site, ca: Path) -> None:
        self.cluster, self.site = cluster, site
        self.cache = cluster.folder / "cache"
        self.env = {"KPROV_CACHE": str(self.cache), "SSL_CERT_FILE": str(ca)}
        self.host = cluster.lab.machine("one").address
        self.lock = cluster.folder / "artifacts.lock.yaml"
        self.nowhere = f"https://{cluster.lab.gateway}:1"  # nobody listens there

    def reset(self) -> None:
        """What every test begins with: a mirror in order, and hosts that may choose."""
        self.settings(source="upstream", mirror=self.site.base, delivery="auto")
        self.site.wrong.clear()
        self.site.cut.clear()

    def settings(self, **values: str) -> None:
        self.cluster.edit(lambda document: document["cluster"].setdefault("artifacts", {}).update(values))

    def kprov(self, command: str, *arguments: str, status: int | None = 0, env: Mapping[str, str] | None = None) -> Ran:
        return self.cluster.kprov(command, *arguments, status=status, env=self.env if env is None else env)

    def up(self, env: Mapping[str, str] | None = None) -> int:
        """Runs `up`; the bytes that went over SSH, as the run itself counted them."""
        ran = self.kprov("up", "--yes", "--json", env=env)
        summary = json.loads(ran.stdout.splitlines()[-1])
        assert summary["event"] == "summary"
        return int(summary["bytes_sent"])

    def without(self, *paths: str) -> None:
        self.cluster.run("one", "rm", "-f", *paths)
        self.site.asked.clear()

    def there(self, path: str) -> bool:
        return self.cluster.sh("one", f"[ -e {path} ] && echo yes || echo no").strip() == "yes"


@pytest.fixture(scope="module")
def delivery(make_cluster: Make, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Delivery]:
    cluster = make_cluster("e2e-dlv", {"one": ["control_plane", "worker"]})
    folder = tmp_path_factory.mktemp("site")
    site, ca = Site(folder / "www"), folder / "ca.crt"
    site.put_upstream(VERSIONS, "amd64", built())
    with serving(site, cluster.lab.gateway, ca):
        trusted = cluster.lab.machine("one").root / "usr/local/share/ca-certificates/site.crt"
        shutil.copyfile(ca, trusted)
        cluster.run("one", "update-ca-certificates")
        yield Delivery(cluster, site, ca)


@pytest.fixture(autouse=True)
def reset(delivery: Delivery) -> None:
    delivery.reset()


def urls() -> dict[str, str]:
    """Program → the upstream URL of the file that holds it."""
    parts = [catalog.load().components[name] for name in COMPONENTS]
    desired = [download for part in parts for download in downloads_of(part, VERSIONS[part.name], "amd64")]
    return {name: download.url for download in desired for name in download.programs}


def test_lock_pins_what_the_mirror_serves_and_refuses_another_file_later(delivery: Delivery) -> None:
    said = delivery.kprov("artifacts lock").stdout
    assert str(delivery.lock) in said
    pins: dict[str, Any] = yaml.safe_load(delivery.lock.read_text())
    assert set(pins["files"]) == set(urls().values())
    for name, artifact in built().items():
        if urls().get(name, "").endswith(f"/{name}"):
            assert pins["files"][urls()[name]] == artifact.sha256
    assert len(pins["images"]) == 2
    shutil.rmtree(next(delivery.cache.glob("files/upstream/kubectl-*")))
    path = delivery.site.path(urls()["kubectl"])
    delivery.site.wrong[path] = Path(built()["kubelet"].local)
    refused = " ".join(delivery.kprov("artifacts fetch", status=1).text.split())
    assert f"{delivery.site.base}{path}" in refused
    assert f"sha256 {built()['kubelet'].sha256}" in refused
    assert f"sha256 {built()['kubectl'].sha256}" in refused
    assert "do not use it" in refused
    assert not list(delivery.cache.glob("files/upstream/kubectl-*"))
    delivery.site.wrong.clear()
    delivery.kprov("artifacts fetch")
    assert yaml.safe_load(delivery.lock.read_text()) == pins


def test_a_host_that_reaches_the_mirror_downloads_each_file_once_and_installs_what_was_pinned(
    delivery: Delivery,
) -> None:
    delivery.site.asked.clear()
    sent = delivery.up()
    files = delivery.site.got(delivery.host)
    assert sorted(files) == sorted({delivery.site.path(url) for name, url in urls().items() if name in HOST_PROGRAMS})
    images = sum(artifact.size for name, artifact in built().items() if name.startswith("image-"))
    assert sent < images + SMALL  # upstream has images in registries only: they come from the operator
    assert {row.client for row in delivery.site.asked} == {delivery.host}  # the operator has all in its cache
    installed = {line.split()[0] for line in delivery.cluster.sh("one", PROGRAMS).splitlines()}
    assert {artifact.sha256 for name, artifact in built().items() if name in HOST_PROGRAMS} <= installed
    assert delivery.kprov("plan").status == 0


def test_what_a_host_cannot_reach_is_pushed_and_the_result_is_the_same(delivery: Delivery) -> None:
    before = delivery.cluster.sh("one", PROGRAMS)
    delivery.settings(mirror=delivery.nowhere)
    delivery.without(*TOOLS)
    pids = delivery.cluster.main_pids("one")
    assert delivery.up() > sum(built()[name].size for name in ("kubectl", "etcdctl", "ctr", "cni-portmap"))
    assert delivery.site.asked == []
    assert delivery.cluster.main_pids("one") == pids
    assert delivery.cluster.sh("one", PROGRAMS) == before
    assert delivery.kprov("plan").status == 0


def test_download_is_refused_before_anything_is_touched_where_a_host_cannot_reach_it(delivery: Delivery) -> None:
    delivery.settings(delivery="download", mirror=delivery.nowhere)
    delivery.without(KUBECTL)
    before = delivery.cluster.sh("one", "stat -c %Y /var/lib/kprov/ledger && cat /var/lib/kprov/ledger")
    for command in ("plan", "up --yes"):
        said = " ".join(delivery.kprov(command, status=1).text.split())
        url = f"{delivery.nowhere}{delivery.site.path(urls()['kubectl'])}"
        for words in ("nothing was touched", "one", url, "artifacts.delivery", "kprov artifacts mirror"):
            assert words in said
    assert not delivery.there(KUBECTL)
    assert delivery.cluster.sh("one", "stat -c %Y /var/lib/kprov/ledger && cat /var/lib/kprov/ledger") == before
    delivery.settings(mirror=delivery.site.base)
    assert delivery.up() < SMALL
    assert delivery.site.got(delivery.host) == [delivery.site.path(urls()["kubectl"])]


def test_a_wrong_file_is_not_installed_and_a_mended_mirror_is_all_it_takes(delivery: Delivery) -> None:
    delivery.without(KUBECTL, "/opt/kprov/bin/runc")
    path = delivery.site.path(urls()["kubectl"])
    delivery.site.wrong[path] = Path(built()["kubelet"].local)
    failed = delivery.kprov("up", "--yes", status=None)
    assert failed.status in (1, 3)
    said = "".join(failed.text.split())
    for words in (f"{delivery.site.base}{path}", built()["kubelet"].sha256, built()["kubectl"].sha256, "installed"):
        assert words in said
    assert "one" in failed.text
    assert not delivery.there(KUBECTL)
    delivery.site.wrong.clear()
    delivery.up()
    assert delivery.there(KUBECTL)
    assert delivery.kprov("plan").status == 0


def test_a_download_that_breaks_off_is_told_and_the_next_run_finishes(delivery: Delivery) -> None:
    delivery.without(KUBECTL)
    path = delivery.site.path(urls()["kubectl"])
    delivery.site.cut[path] = 1_000_000
    said = delivery.kprov("up", "--yes", status=None)
    assert said.status in (1, 3)
    assert f"cannotdownload{delivery.site.base}{path}" in "".join(said.text.split())
    assert not delivery.there(KUBECTL)
    delivery.site.cut.clear()
    delivery.up()
    assert delivery.there(KUBECTL)
    assert delivery.kprov("plan").status == 0


def test_a_folder_of_artifacts_mirror_serves_what_was_built_here_and_images_too(delivery: Delivery) -> None:
    delivery.settings(source="modules")
    env = {"SSL_CERT_FILE": delivery.env["SSL_CERT_FILE"], "KPROV_CACHE": str(default_root())}
    said = delivery.kprov(f"artifacts mirror {delivery.site.folder}", env=env)
    assert said.status == 0
    lacking = built()["etcdctl"]
    (delivery.site.folder / "sha256" / lacking.sha256).unlink()  # this one alone is pushed
    delivery.without(KUBECTL, "/opt/kprov/bin/etcdctl")
    assert lacking.size < delivery.up(env) < lacking.size + SMALL
    needed = [built()[name].sha256 for name in ("kubectl", "image-pause", "image-coredns")]
    assert sorted(delivery.site.got(delivery.host)) == sorted(f"/sha256/{sha256}" for sha256 in needed)
    assert delivery.kprov("plan", env=env).status == 0
    assert delivery.cluster.nodes() == {"one": True}
