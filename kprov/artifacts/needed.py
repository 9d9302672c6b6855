"""What of the catalog one cluster needs: components and images, each with its version. Pure; it gets nothing."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from kprov.artifacts import catalog
from kprov.values.component import Component as Daemon
from kprov.values.components import COMPONENTS
from kprov.values.model import Cluster
from kprov.values.release import Component, ImageEntry
from kprov.values.runtimes import DEFAULT, RUNTIMES

VersionedImage = tuple[ImageEntry, str]  # and its version
VersionedComponent = tuple[Component, str]


@dataclass(frozen=True, kw_only=True)
class Needed:
    """components: name → version; images: those that nodes are given; programs: those that add-ons have on hosts.

    An image without a reference is only ever built.
    """

    components: Mapping[str, str]
    images: tuple[VersionedImage, ...]
    programs: tuple[VersionedComponent, ...] = ()

    @property
    def releases(self) -> tuple[VersionedComponent, ...]:
        """The components, and those that only add-ons name."""
        table = catalog.load().components
        return (*((table[name], version) for name, version in self.components.items()), *self.programs)

    @property
    def built_images(self) -> tuple[VersionedImage, ...]:
        """Those that can be built here; where nothing is fetched, nodes pull the others themselves."""
        return tuple((entry, version) for entry, version in self.images if entry.package)

    def only(self, names: Collection[str]) -> Needed:
        """Return what of it belongs to the components of these names."""
        return Needed(
            components={name: version for name, version in self.components.items() if name in names},
            images=tuple(row for row in self.images if row[0].component in names),
            programs=tuple(row for row in self.programs if row[0].name in names),
        )

    @property
    def owners(self) -> tuple[str, ...]:
        """Names of the components that anything of it belongs to, each once."""
        return tuple(
            dict.fromkeys(
                (
                    *self.components,
                    *(component.name for component, _ in self.programs),
                    *(entry.component for entry, _ in self.images),
                )
            )
        )

    def names(self) -> Iterator[tuple[str, str]]:
        """Catalog name and version of every artifact."""
        for component, version in self.releases:
            for program in component.programs:
                yield program, version
        for entry, version in self.images:
            yield entry.name, version


_ALWAYS = ("cni-plugins",)  # which no unit runs: the runtime calls them


def _wanted(component: Daemon, cluster: Cluster) -> bool:
    return not component.runtime and component.when(cluster)


def needed(cluster: Cluster) -> Needed:
    """What the hosts of a cluster may ask for: the same for all of them, as any may get any role later.

    Only of the runtimes is more known: those that no node has are not needed; the default one is, as long as there are no
    nodes.
    """
    table = catalog.load()
    images = [(entry, cluster.versions[entry.component]) for entry in table.images.values() if entry.reference]
    images += [(image.entry, image.version) for addon in cluster.addons for image in addon.images]
    runtimes = {host.runtime for host in cluster.nodes} or {DEFAULT}
    names = (
        *_ALWAYS,
        *(component.release for component in COMPONENTS if component.release and _wanted(component, cluster)),
        *(name for runtime in runtimes for name in RUNTIMES[runtime].components),
    )
    return Needed(
        components={name: cluster.versions[name] for name in table.components if name in names},
        images=tuple(dict.fromkeys(images)),
        programs=tuple((program.component, program.version) for addon in cluster.addons for program in addon.programs),
    )
