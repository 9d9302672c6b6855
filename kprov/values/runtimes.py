"""The container runtimes a node may have: names, units, sockets, folders. Values only: what they are made of is in roles.

Everything that differs between runtimes outside of their roles is a field here, so that no other module asks for names.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass

from kprov.values.model import Cluster
from kprov.values.paths import BIN
from kprov.values.resources import CONTAINERD, Key

DEFAULT = "containerd"
REFUSES_HANDLERS = (
    "0.4.4"  # the last cri-dockerd that is known to take no RuntimeClass; its main branch does (its #350)
)
RESTRICTED = f"{BIN}/restricted-"  # how programs begin that keep a container's OOM score; a handler's name follows


@dataclass(frozen=True, kw_only=True)
class Runtime:
    """One runtime.

    units: in the order they start; kubelet talks to the last one. cri: the socket kubelet asks. store: the socket
    through which images are stored and containers listed; its name tells apply.sh how to speak to it.
    programs: in BIN. drained_for: those whose replacement is not done under running pods. folders: configuration and
    data that nothing else has a part in. run: what it makes below /run. scheme: begins `containerRuntimeVersion` of
    its nodes. components: of the catalog, the one whose version follows the scheme first. catches_all: whether it can be
    told a mirror for registries that nobody named. commands: programs of the distribution that it needs. shared: folders that
    it makes beside those, where other programs may have theirs. tables: nft
    tables that it makes for host ports and leaves behind, by family and name. wraps: it cannot itself keep a pod's OOM
    score from being lowered, so that programs are wrapped for it.
    tables: family and name of nft tables that it makes for host ports.
    """

    name: str
    title: str
    units: tuple[str, ...]
    cri: str
    store: str
    programs: tuple[str, ...]
    drained_for: tuple[str, ...]
    folders: tuple[str, ...]
    run: tuple[str, ...]
    scheme: str
    components: tuple[str, ...]
    catches_all: bool = True
    commands: tuple[str, ...] = ()
    shared: tuple[str, ...] = ()
    tables: tuple[tuple[str, str], ...] = ()
    wraps: bool = False

    @property
    def serving(self) -> str:
        """The unit that kubelet depends on."""
        return self.units[-1]

    @property
    def mounted(self) -> tuple[str, ...]:
        """Folders below which it mounts what its containers see."""
        return (*self.run, *(folder for folder in self.folders if not folder.startswith("/etc/")))

    def runs_for(self, records: Container[Key]) -> bool:
        """Return whether kprov runs it on a host, by what the host's ledger holds.

        Only a recorded unit says so. Programs are shared by several runtimes, and a socket may be anybody's: one that is
        spoken to, or a folder that is cleared, without such a unit would be somebody else's.
        """
        return any(("unit", unit) in records for unit in self.units)

    def owns(self, key: Key) -> bool:
        """Whether a thing of a host's ledger is this runtime's, and goes when another one takes its place."""
        kind, name = key
        if kind == "unit":
            return name in self.units
        if kind == "binary":
            return name in {f"{BIN}/{program}" for program in self.programs}
        if kind == "image":
            return stored_in(name) == self.store
        if kind in ("file", "directory"):
            below = any(name == folder or name.startswith(f"{folder}/") for folder in (*self.folders, *self.shared))
            return (
                below
                or (self.wraps and name.startswith(RESTRICTED))
                or name in {f"/etc/systemd/system/{unit}" for unit in self.units}
            )
        return False


def stored_in(image: str) -> str:
    """The socket of the store that a recorded image is in: the last word of its name, or containerd's."""
    return image.partition(" ")[2] or CONTAINERD


RUNTIMES: dict[str, Runtime] = {
    "containerd": Runtime(
        name="containerd",
        title="containerd",
        units=("containerd.service",),
        cri=CONTAINERD,
        store=CONTAINERD,
        programs=("containerd", "containerd-shim-runc-v2", "runc", "ctr"),
        drained_for=("containerd",),
        folders=("/etc/containerd", "/var/lib/containerd"),
        run=("/run/containerd",),
        scheme="containerd",
        components=("containerd", "runc"),
    ),
    "crio": Runtime(
        name="crio",
        title="CRI-O",
        units=("crio.service",),
        cri="/run/crio/crio.sock",
        store="/run/crio/crio.sock",
        programs=("crio", "pinns", "crictl", "runc"),
        drained_for=("crio",),
        folders=(
            "/etc/crio",
            "/var/lib/crio",
            "/var/log/crio",
            "/var/lib/containers/cache",
            "/usr/share/containers/oci",
        ),
        run=("/run/crio",),
        scheme="cri-o",
        components=("crio", "cri-tools", "runc"),
        catches_all=False,
        commands=("skopeo", "conmon"),
        tables=(("ip", "crio-hostports"), ("ip6", "crio-hostports")),
        wraps=True,
    ),
    "docker": Runtime(
        name="docker",
        title="Docker Engine",
        units=("dockerd-containerd.service", "dockerd.service", "cri-dockerd.service"),
        cri="/run/cri-dockerd.sock",
        store="/run/docker.sock",
        programs=("dockerd", "cri-dockerd", "containerd", "containerd-shim-runc-v2", "runc", "ctr"),
        drained_for=("dockerd", "containerd"),
        folders=("/etc/docker", "/var/lib/docker", "/var/lib/cri-dockerd"),
        run=("/run/docker", "/run/docker.sock", "/run/docker.pid", "/run/cri-dockerd.sock", "/run/containerd"),
        scheme="docker",
        components=("docker", "cri-dockerd", "containerd", "runc"),
        commands=("curl", "socat"),
        wraps=True,
    ),
}


def must_rewrite(cluster: Cluster) -> bool:
    """Whether manifests have to name mirrors themselves: a node's runtime cannot put one in the place of any registry."""
    return bool(cluster.registry.mirror) and any(not RUNTIMES[host.runtime].catches_all for host in cluster.nodes)
