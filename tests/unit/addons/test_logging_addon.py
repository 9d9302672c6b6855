"""The add-on `logging`: where its store keeps data, what it lets in, which rights its pods have."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from kprov.addon.choose import by_name
from kprov.addon.desired import cluster_values
from kprov.addon.render import Surroundings, login, password, rendered
from kprov.inventory import load
from kprov.objects.objects import Object
from kprov.roles.host_logs import INTAKE_PORT, INTAKE_USER, UNITS
from kprov.roles.stores import store_host
from kprov.values.addon import Addon
from kprov.values.errors import AddonError, InventoryError
from kprov.values.model import Cluster, ClusterFacts, Connection, Group, Host

SEED = b"k" * 32
TOKEN_KEY = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"
(LOGGING,) = (addon for addon in by_name(["logging"]) if addon.name == "logging")
(STORAGE,) = (addon for addon in by_name(["storage"]) if addon.name == "storage")
SMALL: dict[str, set[Group]] = {"cp1": {"control_plane", "etcd"}, "w1": {"worker"}, "w2": {"worker"}}
APART: dict[str, set[Group]] = {"e1": {"etcd"}, "cp1": {"control_plane"}, "w1": {"worker"}}


def addon(**parameters: Any) -> Addon:
    return Addon(
        description=LOGGING.description,
        version=LOGGING.version,
        parameters={**LOGGING.parameters, **parameters},
        images=LOGGING.images,
        programs=LOGGING.programs,
    )


def cluster(groups: dict[str, set[Group]], *addons: Addon, runtime: str = "containerd") -> Cluster:
    hosts = tuple(
        Host(name=name, groups=frozenset(of), connection=Connection(address="192.0.2.1"), runtime=runtime)
        for name, of in groups.items()
    )
    return Cluster(name="c", versions={"kubernetes": "1.37.2"}, hosts=hosts, addons=addons)


def objects(where: Cluster) -> dict[tuple[str, str], Object]:
    """By kind and name; no host has answered."""
    around = Surroundings(
        cluster=cluster_values(where, ClusterFacts({})),
        ca={"kubernetes": "PEM\n"},
        images={image.name: f"r/{image.name}:1" for image in LOGGING.images},
        secret_seed=SEED,
        token_key=TOKEN_KEY,
    )
    found = rendered(next(one for one in where.addons if one.name == "logging"), around)
    return {(str(item["kind"]), str(item["metadata"]["name"])): item for item in found}


def pod(found: dict[tuple[str, str], Object], kind: str, name: str) -> Any:
    return found[kind, name]["spec"]["template"]["spec"]


def test_without_a_class_the_store_has_a_folder_of_one_node_and_its_pod_follows_it() -> None:
    found = objects(cluster(SMALL, addon()))
    volume = found["PersistentVolume", "c-logs-w1"]["spec"]
    assert volume["local"] == {"path": "/var/lib/kprov-logging-store"}
    (term,) = volume["nodeAffinity"]["required"]["nodeSelectorTerms"]
    assert term["matchExpressions"][0]["values"] == ["w1"]
    claim = found["PersistentVolumeClaim", "victoria-logs-w1"]["spec"]
    assert (claim["storageClassName"], claim["volumeName"]) == ("", "c-logs-w1")
    spec = pod(found, "Deployment", "victoria-logs")
    assert spec["volumes"][0]["persistentVolumeClaim"] == {"claimName": "victoria-logs-w1"}
    assert spec["securityContext"]["runAsGroup"] == 0
    assert "fsGroup" not in spec["securityContext"]  # it would change what kprov made


@pytest.mark.parametrize(
    ("with_storage", "parameters", "shown"),
    [(True, {}, None), (False, {"storage_class": "fast"}, "fast"), (True, {"storage_class": "fast"}, "fast")],
)
def test_a_class_gives_the_volume_where_there_is_one(
    with_storage: bool, parameters: dict[str, str], shown: str | None
) -> None:
    found = objects(cluster(SMALL, addon(**parameters), *([STORAGE] if with_storage else [])))
    assert not [name for kind, name in found if kind == "PersistentVolume"]
    claim = found["PersistentVolumeClaim", "victoria-logs"]["spec"]
    assert claim.get("storageClassName") == shown
    assert pod(found, "Deployment", "victoria-logs")["securityContext"]["fsGroup"] == 65532


@pytest.mark.parametrize(
    ("groups", "node"),
    [
        (SMALL, ""),
        (SMALL, "cp1"),
        (APART, ""),
        ({"cp1": {"control_plane", "etcd"}, "cp2": {"control_plane", "worker"}}, ""),
        ({"e1": {"etcd"}, "cp1": {"control_plane"}, "cp2": {"control_plane"}}, ""),
    ],
)
def test_the_folder_is_made_where_the_volume_says(groups: dict[str, set[Group]], node: str) -> None:
    """Also while hosts do not answer: the store must not move because of that."""
    where = cluster(groups, addon(node=node))
    (volume,) = (item for (kind, _), item in objects(where).items() if kind == "PersistentVolume")
    (term,) = volume["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"]
    assert term["matchExpressions"][0]["values"] == [store_host(where, where.addons[0])]


def test_a_store_on_a_host_that_is_no_node_is_refused() -> None:
    where = cluster(APART, addon(node="e1"))
    with pytest.raises(AddonError) as caught:
        store_host(where, where.addons[0])
    assert "one of cp1, w1" in str(caught.value)


def test_a_port_is_open_on_nodes_only_for_hosts_that_are_none() -> None:
    (port,) = objects(cluster(SMALL, addon()))["Service", "logs-intake"]["spec"]["ports"]
    assert (port["port"], "nodePort" in port) == (INTAKE_PORT, False)
    service = objects(cluster(APART, addon(node_port=31000)))["Service", "logs-intake"]["spec"]
    assert (service["type"], service["ports"][0]["nodePort"]) == ("NodePort", 31000)
    assert objects(cluster(APART, addon()))["Service", "logs"]["spec"].get("type") is None


def test_retention_reaches_the_store_and_leaves_room_on_the_volume() -> None:
    found = objects(cluster(SMALL, addon(retention="30d", size="5Gi", memory="1Gi")))
    store, _ = pod(found, "Deployment", "victoria-logs")["containers"]
    assert {"-retentionPeriod=30d", "-retention.maxDiskSpaceUsageBytes=4096MiB"} <= set(store["args"])
    assert store["resources"]["limits"] == {"memory": "1Gi"}


def test_passwords_stand_in_secrets_alone_and_a_collector_has_its_own_only() -> None:
    found = objects(cluster(SMALL, addon()))
    reader, writer = (password(SEED, "logging", name).reveal() for name in ("admin", INTAKE_USER))
    assert reader != writer
    for (kind, _), item in found.items():
        if kind != "Secret":
            assert reader not in str(item)
            assert writer not in str(item)
    secret = found["Secret", "vlagent-login"]["data"]
    assert base64.b64decode(secret["password"]).decode() == writer
    both = found["Secret", "logs-login"]["data"]
    assert base64.b64decode(both["store"]).decode() == login(SEED, "logging", "admin", "admin").reveal()
    assert yaml.safe_load(found["ConfigMap", "logs-intake"]["data"]["auth.yaml"])["users"][0]["username"] == INTAKE_USER
    volumes = pod(found, "DaemonSet", "vlagent")["volumes"]
    assert [volume["secret"]["secretName"] for volume in volumes if "secret" in volume] == ["vlagent-login"]


def test_people_read_with_a_token_that_the_cluster_made_out_to_the_store() -> None:
    found = objects(cluster(SMALL, addon()))
    _, people = yaml.safe_load(found["ConfigMap", "logs-intake"]["data"]["auth.yaml"])["users"]
    opening = LOGGING.description.opening
    assert opening is not None
    jwt = people["jwt"]
    assert jwt["public_keys"] == [TOKEN_KEY]
    assert re.search(jwt["match_claims"]["aud"], opening.audience)
    assert not re.search(jwt["match_claims"]["aud"], f"{opening.audience}.example")
    assert re.search(jwt["match_claims"]["sub"], f"system:serviceaccount:logging:{opening.service_account}")
    assert ("ServiceAccount", opening.service_account) in found
    ports = [port["port"] for port in found["Service", opening.service]["spec"]["ports"]]
    assert opening.port in ports


def test_the_store_keeps_to_pod_securitys_strictest_level() -> None:
    for groups in (SMALL, APART):
        spec = pod(objects(cluster(groups, addon())), "Deployment", "victoria-logs")
        assert {key for volume in spec["volumes"] for key in volume} <= {
            *("name", "persistentVolumeClaim", "secret", "configMap")
        }
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert_confined(spec)
        assert spec["automountServiceAccountToken"] is False


def test_the_collector_reads_logs_of_its_node_without_root_and_without_capabilities() -> None:
    spec = pod(objects(cluster(SMALL, addon())), "DaemonSet", "vlagent")
    assert_confined(spec)
    assert spec["securityContext"]["runAsNonRoot"] is True
    (container,) = spec["containers"]
    writable = {mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")}
    assert writable == {"/data"}
    paths = {volume["hostPath"]["path"] for volume in spec["volumes"] if "hostPath" in volume}
    assert paths == {"/var/log/containers", "/var/log/pods", "/var/lib/kprov-logging-pods"}
    assert spec["tolerations"] == [{"operator": "Exists"}]


def assert_confined(spec: Any) -> None:
    for container in spec["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        }
        assert {"cpu", "memory"} == set(container["resources"]["requests"])
        assert "memory" in container["resources"]["limits"]


def test_where_docker_keeps_log_files_is_read_too() -> None:
    spec = pod(objects(cluster(SMALL, addon(), runtime="docker")), "DaemonSet", "vlagent")
    mounts = {mount["mountPath"]: mount.get("readOnly") for mount in spec["containers"][0]["volumeMounts"]}
    assert mounts["/var/lib/docker/containers"] is True


def test_the_journal_is_asked_for_every_unit_that_kprov_runs() -> None:
    """What a role adds has to be named in host_logs.UNITS, or nobody finds what it says."""
    templates = Path(__file__).parents[3] / "templates"
    shipped = {path.name.removesuffix(".j2") for path in templates.glob("*/*.service.j2")}
    assert shipped <= set(UNITS)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("{retention: 12h}", "not of the right form"),
        ("{size: 10GB}", "not a size"),
        ("{node_port: 9427}", "at least 30000"),
        ("{retension: 3d}", "did you mean 'retention'?"),
    ],
)
def test_a_parameter_that_will_not_do_is_told_with_its_line(tmp_path: Path, line: str, told: str) -> None:
    path = tmp_path / "inventory.yaml"
    path.write_text(
        f"cluster:\n  name: c\n  addons:\n    logging: {line}\n"
        "hosts:\n  one: {address: 192.0.2.1, groups: [etcd, control_plane, worker]}\n"
    )
    with pytest.raises(InventoryError, match=r"inventory\.yaml:4") as caught:
        load(path)
    assert told in str(caught.value)
