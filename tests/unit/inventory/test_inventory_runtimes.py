"""Runtimes and OCI handlers in an inventory: the nearest to the host wins, and slips are named."""

from __future__ import annotations

import pytest
from inventory_text import cluster, loaded, only

from kprov.values.model import Handler

HOSTS = """\
groups:
  worker: {runtime: crio, handlers: {kata: {path: /opt/kata/shim, type: io.containerd.kata.v2}}}
hosts:
  cp1: {address: 192.0.2.11, groups: [control_plane]}
  w1: 192.0.2.21
  w2: {address: 192.0.2.22, runtime: containerd, handlers: {kata: {path: /usr/local/bin/kata}}}
  w3: {address: 192.0.2.23, group: etcd, runtime: docker, restrict_oom_score_adj: true}
"""


def test_cluster_group_and_host_choose_a_runtime() -> None:
    hosts = {host.name: host for host in loaded(cluster(hosts=HOSTS)).cluster.hosts}
    assert {name: host.runtime for name, host in hosts.items()} == {
        "cp1": "containerd",
        "w1": "crio",
        "w2": "containerd",
        "w3": "docker",
    }
    assert {name for name, host in hosts.items() if host.restrict_oom_score_adj} == {"w3"}
    assert hosts["cp1"].handlers == {}
    assert hosts["w1"].handlers == {"kata": Handler(path="/opt/kata/shim", type="io.containerd.kata.v2")}
    assert hosts["w2"].handlers == {"kata": Handler(path="/usr/local/bin/kata")}


@pytest.mark.parametrize(
    ("line", "key", "what"),
    [
        ("runtime: cri-o", "runtime", "did you mean 'crio'?"),
        ("runtime: rkt", "runtime", "containerd, crio, docker"),
        ("handlers: {runc: {path: /bin/x}}", "handlers", "another name"),
        ("handlers: {Kata: {path: /bin/x}}", "handlers", "write 'kata'"),
        ("handlers: {kata: {path: bin/x}}", "handlers.kata.path", "absolute path"),
        ("handlers: {kata: {path: '/bin/x y'}}", "handlers.kata.path", "absolute path"),
        ("handlers: {kata: {path: /bin/x, type: kata}}", "handlers.kata.type", "io.containerd.kata.v2"),
        ("handlers: {kata: {path: /bin/x, typ: x}}", "handlers.kata.typ", "did you mean 'type'?"),
        (
            "extra_args: {dockerd: {data-root: /x}}",
            "extra_args.dockerd.data-root",
            "--data-root of dockerd cannot be",
        ),
    ],
)
def test_each_slip_is_named(line: str, key: str, what: str) -> None:
    found = str(only(cluster(line)))
    assert f"cluster.{key}" in found
    assert what in found


KATA = "handlers: {kata: {path: /opt/kata/shim}}"


@pytest.mark.parametrize(
    ("hosts", "where"),
    [
        (f"hosts: {{c: {{address: 192.0.2.1, group: control_plane, runtime: docker, {KATA}}}}}", "hosts.c.handlers"),
        (
            f"groups: {{control_plane: {{runtime: docker, {KATA}}}}}\n"
            "hosts: {c: {address: 192.0.2.1, group: control_plane}}",
            "groups.control_plane.handlers",
        ),
    ],
)
def test_handlers_on_docker_are_refused_where_they_are_written(hosts: str, where: str) -> None:
    found = str(only(cluster(hosts=hosts)))
    assert where in found
    assert "cri-dockerd 0.4.4 takes no RuntimeClass" in found
    assert "runtime docker on c" in found
    assert "after 0.4.4" in found


def test_handlers_of_the_cluster_are_refused_for_a_docker_node_and_taken_without_one() -> None:
    hosts = "hosts: {{c: {{address: 192.0.2.1, groups: [control_plane, worker], runtime: {}}}}}"
    assert "cluster.handlers" in str(only(cluster(KATA, hosts=hosts.format("docker"))))
    assert loaded(cluster(KATA, hosts=hosts.format("crio")))


def test_a_later_cri_dockerd_may_have_handlers() -> None:
    """What the refusal says to do."""
    hosts = f"hosts: {{c: {{address: 192.0.2.1, groups: [control_plane, worker], runtime: docker, {KATA}}}}}"
    assert loaded(cluster("versions: {cri-dockerd: 0.5.0}", hosts=hosts))


def test_single_components_may_come_from_elsewhere() -> None:
    text = cluster("artifacts: {source: modules, sources: {cri-dockerd: upstream, pause: upstream}}")
    assert loaded(text).cluster.artifacts.sources == {"cri-dockerd": "upstream", "pause": "upstream"}


@pytest.mark.parametrize(
    ("sources", "told"),
    [("{crioo: upstream}", "did you mean 'crio'?"), ("{crio: mirror}", "upstream"), ("{headlamp: upstream}", "one of")],
)
def test_a_source_that_cannot_be_is_refused(sources: str, told: str) -> None:
    found = str(only(cluster(f"artifacts: {{sources: {sources}}}")))
    assert "cluster.artifacts.sources" in found
    assert told in found


def test_components_of_addons_may_have_a_source_too() -> None:
    text = cluster("artifacts: {sources: {headlamp: upstream}}", "addons: {headlamp: true}")
    assert loaded(text).cluster.artifacts.sources == {"headlamp": "upstream"}
