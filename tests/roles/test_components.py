"""Each component's record against what its role wants on hosts: a component that is added halfway fails here by name."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from dataclasses import fields
from functools import cache
from pathlib import Path

import pytest
from given import context

import kprov
from kprov.plan.stages import STAGES, desired
from kprov.values.component import Component, Health, Leaf, Metrics, Port
from kprov.values.components import BY_UNIT, COMPONENTS, JOURNAL, METRICS_PROXY
from kprov.values.context import Context
from kprov.values.resources import Binary, Certificate, File, Resource, Unit
from kprov.values.runtimes import RUNTIMES

ROOT = Path(__file__).parents[2]
# What a port is written after where a program is told to listen on it.
LISTENS = re.compile(r"(?:127\.0\.0\.1|0\.0\.0\.0|192\.0\.2\.1|\[::\]|bind [^\s:]*|-port|Port)[:= ]+\"?(\d{4,5})\b")
ADDRESS = re.compile(r"https?://(?:127\.0\.0\.1|192\.0\.2\.\d+):(\d+)")


@cache
def contexts() -> tuple[Context, ...]:
    """One cluster for each runtime with everything that has a unit enabled: a host with all groups, and one of etcd."""
    addons = [{"name": name} for name in sorted({one.addon for one in COMPONENTS if one.addon})]
    everything = ["etcd", "control_plane", "worker"]
    return tuple(
        context(
            {
                "cluster": {"addons": addons, "backup": {"every": 3600}},
                "hosts": {"cp1": {"groups": everything, "runtime": runtime}, "db1": {"groups": ["etcd"]}},
                "host": host,
            }
        )
        for runtime in RUNTIMES
        for host in ("cp1", "db1")
    )


def resources(ctx: Context) -> list[Resource]:
    return [resource for found in desired(ctx).values() for resource in found]


def runs(ctx: Context) -> set[str]:
    return {component.unit for component in COMPONENTS if component.runs_on(ctx.cluster, ctx.host)}


def with_unit(component: Component) -> tuple[Unit, list[Resource]]:
    """Its unit and all resources of the first host that has it."""
    for ctx in contexts():
        found = resources(ctx)
        for resource in found:
            if isinstance(resource, Unit) and resource.name == component.unit:
                return resource, found
    pytest.fail(f"no role wants {component.unit} on any host")


def named(component: Component) -> str:
    return component.name


def test_every_role_is_in_a_row_of_the_stages() -> None:
    """A role that no stage has, and no other role calls, is never run."""
    in_rows = {role.__module__.rpartition(".")[2] for stage in STAGES for role in stage.roles}
    sources = {path.stem: path.read_text(encoding="utf-8") for path in (ROOT / "roles").glob("*.py")}
    with_resources = {name for name, text in sources.items() if "\ndef resources(" in text}
    called = {
        name
        for name in with_resources
        if any(f"{name}.resources" in text for other, text in sources.items() if other in in_rows)
    }
    assert with_resources - in_rows - called == set()


@pytest.mark.parametrize("ctx", contexts(), ids=lambda ctx: f"{ctx.host.runtime}-{ctx.host.name}")
def test_every_unit_of_a_role_has_a_record_that_says_where_it_runs(ctx: Context) -> None:
    units = {resource.name for resource in resources(ctx) if isinstance(resource, Unit)}
    assert units - set(BY_UNIT) == set(), "add a record to kprov/values/components.py"
    assert units == runs(ctx)


@pytest.mark.parametrize("component", COMPONENTS, ids=named)
def test_a_record_holds_where_its_conditions_do_not(component: Component) -> None:
    """Without its add-on, or beside a load balancer and a network of the user's own, roles and records agree too."""
    for cluster in ({}, {"api_endpoint": "api.example.org:6443", "network": {"mode": "none"}}):
        ctx = context({"cluster": cluster, "hosts": {"cp1": {"groups": ["etcd", "control_plane", "worker"]}}})
        units = {resource.name for resource in resources(ctx) if isinstance(resource, Unit)}
        assert (component.unit in units) == component.runs_on(ctx.cluster, ctx.host)


@pytest.mark.parametrize("component", COMPONENTS, ids=named)
def test_the_program_of_a_component_is_what_its_unit_runs(component: Component) -> None:
    unit, found = with_unit(component)
    binaries = {resource.path for resource in found if isinstance(resource, Binary)}
    if component.program:
        assert f"/opt/kprov/bin/{component.program}" in binaries
        assert f"/opt/kprov/bin/{component.program} " in unit.content.decode().replace("\n", " ")
        assert f"/opt/kprov/bin/{component.program}" in unit.reads
    elif component.process:
        assert f"/{component.process} " in unit.content.decode()


@pytest.mark.parametrize("component", COMPONENTS, ids=named)
def test_the_certificates_of_a_component_are_those_of_its_role(component: Component) -> None:
    unit, found = with_unit(component)
    made = {resource.path: resource for resource in found if isinstance(resource, Certificate)}
    for leaf in component.leaves:
        certificate = made[leaf.paths[0]]
        assert (certificate.spec.name, certificate.key_path) == (leaf.name, leaf.paths[1])
    assert component.read_at_start <= unit.reads
    assert component.read_again <= unit.reloads


def test_every_certificate_on_a_host_is_in_a_record() -> None:
    known = {leaf.paths[0] for component in COMPONENTS for leaf in component.leaves}
    for ctx in contexts():
        assert {resource.path for resource in resources(ctx) if isinstance(resource, Certificate)} <= known


def texts(found: Iterable[Resource]) -> Iterable[str]:
    return (resource.content.decode(errors="replace") for resource in found if isinstance(resource, File | Unit))


@pytest.mark.parametrize("ctx", contexts(), ids=lambda ctx: f"{ctx.host.runtime}-{ctx.host.name}")
def test_every_port_that_is_listened_on_has_an_owner(ctx: Context) -> None:
    """Ports in units and configuration, but for those of servers that are only dialled."""
    owned = {port.number for component in COMPONENTS for port in component.ports}
    written = {
        int(number) for text in texts(resources(ctx)) for number in (*LISTENS.findall(text), *ADDRESS.findall(text))
    }
    assert written, "the pattern finds nothing"
    assert written - owned == set(), "name it in `ports` of the component's record"


@pytest.mark.parametrize("component", COMPONENTS, ids=named)
def test_the_ports_of_a_component_are_written_for_it(component: Component) -> None:
    """Except kubelet's, which it has by itself."""
    _, found = with_unit(component)
    everything = "\n".join(texts(found))
    for port in component.ports:
        if (component.name, port.name) != ("kubelet", "https"):
            assert re.search(rf"\b{port.number}\b", everything), f"{component.name} is nowhere told port {port.number}"


@pytest.mark.parametrize("ctx", contexts(), ids=lambda ctx: f"{ctx.host.runtime}-{ctx.host.name}")
def test_logs_and_ends_of_certificates_are_told_of_every_component(ctx: Context) -> None:
    """Of logs on every host, whether it has the component or not: a unit may be there for a while after it."""
    units = {resource.name: resource.content.decode() for resource in resources(ctx) if isinstance(resource, Unit)}
    assert [one.unit for one in COMPONENTS if f" {one.unit}" not in units[JOURNAL.unit]] == []
    leaves = [leaf for one in COMPONENTS if one.unit in runs(ctx) for leaf in one.leaves]
    assert [leaf.name for leaf in leaves if f" {leaf.paths[0]}" not in units[METRICS_PROXY.unit]] == []


def test_no_port_has_two_owners() -> None:
    numbers = [port.number for component in COMPONENTS for port in component.ports]
    assert len(numbers) == len(set(numbers))


@pytest.mark.parametrize("component", COMPONENTS, ids=named)
def test_what_a_record_asks_of_a_component_is_one_of_its_ports(component: Component) -> None:
    if component.health.kind == "http":
        number, path = component.health.argument.split(" ")
        assert int(number) in {port.number for port in component.ports}
        assert path.startswith("/")
    if component.health.kind == "command":
        _, found = with_unit(component)
        program = component.health.argument.split(" ")[0]
        assert f"/opt/kprov/bin/{program}" in {
            resource.path for resource in found if isinstance(resource, Binary | File)
        }
    if component.metrics is not None:
        assert component.port(component.metrics.port)


def test_what_has_metrics_is_scraped() -> None:
    """The jobs of the monitoring add-on are written by hand, as each drops other series."""
    template = (ROOT / "addons/monitoring/scrape.yaml.j2").read_text(encoding="utf-8")
    for component in COMPONENTS:
        if component.metrics is not None:
            assert f'proxy("{component.metrics.name}"' in template


def test_the_units_of_runtimes_are_components_of_theirs() -> None:
    for runtime in RUNTIMES.values():
        assert [one.unit for one in COMPONENTS if one.runtime == runtime.name] == list(runtime.units)


@pytest.mark.parametrize("component", COMPONENTS, ids=named)
def test_a_flag_that_is_not_the_users_says_why(component: Component) -> None:
    taken = component.flags or ()
    names = [name for row in taken for name in row.flags]
    assert len(names) == len(set(names))
    assert all(row.why and row.todo for row in taken)
    assert component.flags is None or taken


def test_every_field_of_a_record_is_read_somewhere() -> None:
    """A field that only the records and this file name would be dead knowledge."""
    read: set[str] = set()
    here = {ROOT / "kprov/values/components.py", ROOT / "kprov/values/taken_flags.py"}
    for path in (*Path(kprov.__path__[0]).rglob("*.py"), *(ROOT / "roles").glob("*.py")):
        if path.resolve() not in here:
            tree = ast.parse(path.read_text(encoding="utf-8"))
            read |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    for record in (Component, Port, Leaf, Health, Metrics):
        assert {field.name for field in fields(record)} - read == set(), record.__name__
