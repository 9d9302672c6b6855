"""What a host that serves nothing yet is sent: what is waited for comes last, and packages are installed beside."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from observed import bare

from kprov.apply import wire
from kprov.apply.batch import Batch
from kprov.apply.founding import founding_work, steady_batch
from kprov.apply.operations import Sources
from kprov.plan.host import Change, HostPlan, Restart
from kprov.values.resources import Artifact, File, Gate, Image, Package, Resource, SwapOff, Unit

SOURCES = Sources(issue=lambda _: (b"", b""), packed=lambda _: (Path("/x"), "raw"), download=lambda _: None)  # type: ignore[arg-type, return-value]
HAPROXY = Package(name="haproxy", command="haproxy", service="haproxy.service")
NFT = Package(name="nftables", command="nft")


def change(stage: str, resource: Resource, action: str = "create") -> Change:
    return Change(stage=stage, key=resource.key, action=action, reasons=("new",), resource=resource)  # type: ignore[arg-type]


def restart(stage: str, name: str, deadline: int = 30) -> Restart:
    gates = (Gate(kind="http", argument="1 /", deadline=deadline),)
    return Restart(stage=stage, unit=Unit(name=name, content=b"", gates=gates), reason="new", running=False)


def plan(*stages: str, packages: tuple[Package, ...] = (HAPROXY, NFT)) -> HostPlan:
    units = {"api-server": "kube-apiserver.service", "runtime": "containerd.service"}
    changes = [change("host", SwapOff()), *(change("host", package) for package in packages)]
    changes += [change(stage, File(path=f"/etc/{stage}", content=stage.encode())) for stage in stages]
    restarts = tuple(restart(stage, units[stage], deadline) for stage, deadline in zip(stages, (120, 60), strict=False))
    stamps = dict.fromkeys(units.values(), "s")
    return HostPlan(host="h", changes=tuple(changes), restarts=restarts, stamps=stamps, unstamps={})


def made(of: HostPlan, stage: str) -> list[Batch]:
    return list(founding_work(of, stage, bare(), SOURCES))


def sent(batch: Batch) -> list[str]:
    return [f"{one.word} {getattr(one, 'unit', '') or getattr(one, 'path', '')}".strip() for one in batch.operations]


RUNTIME = [
    "unstamp containerd.service",
    "file /etc/runtime",
    "reload_units",
    "restart containerd.service",
    "gate containerd.service",
    "stamp containerd.service",
]


def test_the_runtime_comes_up_while_the_api_server_does() -> None:
    first, second = made(plan("api-server", "runtime"), "api-server")
    assert sent(first) == [
        "unstamp kube-apiserver.service",
        "file /etc/api-server",
        "reload_units",
        "restart kube-apiserver.service",
    ]
    assert sent(second) == [
        *("package", "package"),
        *RUNTIME,
        "gate kube-apiserver.service",
        "stamp kube-apiserver.service",
    ]


def test_what_fails_is_told_of_the_stage_that_it_belongs_to() -> None:
    _, second = made(plan("api-server", "runtime"), "api-server")
    assert [step.stage for step in second.steps[-2:]] == ["", ""], "that of the exec"
    assert {step.stage for step in second.steps[2:-2]} == {"runtime"}


def test_an_image_waits_for_its_runtime_and_the_api_server_is_waited_for_last() -> None:
    artifact = Artifact(
        name="image-pause", version="1", arch="amd64", sha256="a" * 64, size=1, local="/x", reference="p:1"
    )
    image = change("runtime", Image(reference="p:1", artifact=artifact))
    alone, both = plan("runtime", packages=()), plan("api-server", "runtime", packages=())
    for of, stage in ((alone, "runtime"), (both, "api-server")):
        words = sent(made(replace(of, changes=(*of.changes, image)), stage)[-1])
        assert words[:7] == [*RUNTIME, "image"]


def test_packages_are_begun_with_the_host_and_waited_for_before_the_runtime() -> None:
    whole = plan("runtime")
    (first,), (second,) = made(whole, "host"), made(whole, "runtime")
    assert [one for one in first.operations if isinstance(one, wire.Package)] == []
    assert first.operations[-1] == wire.BeginPackages(
        manager=bare().facts.package_manager, packages=("haproxy:haproxy:haproxy.service", "nftables:nft:-")
    )
    assert {("package", "haproxy", "haproxy"), ("package", "nftables", "nft")} <= set(first.announce), "recorded before"
    assert sent(second)[:3] == ["package", "package", "unstamp containerd.service"]
    assert sent(second)[-1] == "stamp containerd.service"


def test_nothing_is_begun_where_nothing_is_to_be_installed() -> None:
    assert sent(made(plan("runtime", packages=()), "host")[0]) == ["swapoff"]


def test_a_host_without_a_runtime_installs_its_packages_at_once() -> None:
    assert sent(made(plan(), "host")[0]) == ["package", "package", "swapoff"]


def test_whether_units_stay_up_is_asked_of_all_at_once() -> None:
    whole = plan("api-server", "runtime")
    for stage in ("host", "api-server", "runtime"):
        assert not [one for batch in made(whole, stage) for one in batch.operations if isinstance(one, wire.Steady)]
    assert steady_batch(whole).operations == [
        wire.Steady(unit="kube-apiserver.service", seconds=120),
        wire.Steady(unit="containerd.service", seconds=60),
    ]
