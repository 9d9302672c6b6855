"""The add-on `storage`: what it renders with images that were built here and with upstream's, and its shell programs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from kprov.addon.choose import by_name
from kprov.addon.desired import image_references
from kprov.addon.render import Surroundings, rendered
from kprov.objects.objects import Object
from kprov.values.addon import Addon
from kprov.values.resources import Artifact

(STORAGE,) = (addon for addon in by_name(["storage"]) if addon.name == "storage")
BUILT = {"provisioner": "kprov.local/local-path-provisioner:1", "helper": "kprov.local/volume-folder:1"}


def objects(images: dict[str, str], **parameters: Any) -> dict[str, Object]:
    addon = Addon(
        description=STORAGE.description,
        version=STORAGE.version,
        parameters={**STORAGE.parameters, **parameters},
        images=STORAGE.images,
    )
    around = Surroundings(cluster={}, ca={}, images=images, secret_seed=b"k" * 32)
    return {str(item["kind"]): item for item in rendered(addon, around)}


def settings(images: dict[str, str], **parameters: Any) -> tuple[dict[str, Any], Any, dict[str, str]]:
    data = objects(images, **parameters)["ConfigMap"]["data"]
    return json.loads(data["config.json"]), yaml.safe_load(data["helperPod.yaml"]), data


def test_a_helper_that_was_built_here_runs_kprovs_program() -> None:
    config, pod, data = settings(BUILT)
    assert config["setupCommand"] == config["teardownCommand"] == "/volume-folder"
    assert pod["spec"]["containers"][0]["image"] == BUILT["helper"]
    assert data.keys() == {"config.json", "helperPod.yaml"}


def test_upstreams_provisioner_is_its_own_helper_and_runs_the_scripts() -> None:
    config, pod, data = settings(image_references(STORAGE, {}))
    assert "setupCommand" not in config
    assert pod["spec"]["containers"][0]["image"] == "docker.io/rancher/local-path-provisioner:v0.0.30"
    assert data["setup"].startswith("# Makes")
    assert data["teardown"].startswith("# Removes")


def test_an_image_that_was_built_is_known_by_its_own_name() -> None:
    artifact = Artifact(name="image-storage-helper", version="1", arch="amd64", sha256="", size=0, local="",
                        reference=BUILT["helper"])  # fmt: skip
    assert image_references(STORAGE, {("image-storage-helper", "amd64"): artifact})["helper"] == BUILT["helper"]


@pytest.mark.parametrize(("given", "shown"), [(True, "true"), (False, "false")])
def test_parameters_reach_the_class_and_the_helper(given: bool, shown: str) -> None:
    made = objects(BUILT, default_class=given, reclaim="Retain")["StorageClass"]
    assert made["metadata"]["annotations"]["storageclass.kubernetes.io/is-default-class"] == shown
    assert made["reclaimPolicy"] == "Retain"
    _, pod, _ = settings(BUILT, overcommit=given)
    assert {"name": "OVERCOMMIT", "value": shown} in pod["spec"]["containers"][0]["env"]


class Helper:
    """The scripts as a helper pod runs them, with the folder of all volumes in a folder of the test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, script: str, path: str, size: int = 1, **more: str) -> subprocess.CompletedProcess[str]:
        environment = {
            "PATH": os.environ["PATH"],
            "VOLUMES": str(self.folder),
            "NODE": "w1",
            "OVERCOMMIT": "false",
            "VOL_DIR": path,
            "VOL_MODE": "Filesystem",
            "VOL_SIZE_BYTES": str(size),
            **more,
        }
        program = STORAGE.description.folder / script
        return subprocess.run(["sh", program], env=environment, capture_output=True, text=True, check=False)


@pytest.fixture
def helper(tmp_path: Path) -> Helper:
    return Helper(tmp_path)


def test_a_folder_is_made_for_everybody_and_removed_with_all_it_holds(helper: Helper) -> None:
    volume = helper.folder / "pvc-1_ns_data"
    assert helper("setup.sh", str(volume)).returncode == 0
    assert volume.stat().st_mode & 0o7777 == 0o777
    (volume / "deep").mkdir()
    (volume / "deep" / "file").write_text("kept")
    assert helper("setup.sh", str(volume)).returncode == 0
    assert (volume / "deep" / "file").read_text() == "kept"
    assert helper("teardown.sh", str(volume)).returncode == 0
    assert not volume.exists()


def test_more_than_is_free_is_refused_with_volume_and_node(helper: Helper) -> None:
    volume = helper.folder / "pvc-1_ns_data"
    size = shutil.disk_usage(helper.folder).total * 2
    done = helper("setup.sh", str(volume), size)
    assert done.returncode == 1
    assert f"volume pvc-1_ns_data: {size} bytes were asked for, node w1 has " in done.stderr
    assert not volume.exists()
    assert helper("setup.sh", str(volume), size, OVERCOMMIT="true").returncode == 0


@pytest.mark.parametrize("path", ["{}", "{}/", "{}/..", "{}/a/b", "/etc", "{}/../other", ""])
@pytest.mark.parametrize("script", ["setup.sh", "teardown.sh"])
def test_nothing_but_a_folder_below_that_of_all_volumes_is_touched(helper: Helper, script: str, path: str) -> None:
    (helper.folder / "pvc-2").mkdir()
    assert helper(script, path.format(helper.folder)).returncode == 1
    assert [entry.name for entry in helper.folder.iterdir()] == ["pvc-2"]


def test_a_block_volume_is_refused(helper: Helper) -> None:
    assert "only folders" in helper("setup.sh", str(helper.folder / "v"), VOL_MODE="Block").stderr
