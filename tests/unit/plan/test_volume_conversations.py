"""Volumes in a folder that goes, with every answer that a cluster may give."""

from __future__ import annotations

import json
from typing import Any

import pytest
from talks import walk

from kprov.plan.conversation import Answer
from kprov.plan.volume_conversations import removed
from kprov.values.errors import ApplyError

FOLDER = "/var/lib/volumes"
DONE = Answer(code=0)
LATE = Answer(code=0, text="Bound\n")


def listed(*items: dict[str, Any]) -> Answer:
    return Answer(code=0, text=json.dumps({"kind": "List", "items": items}))


def volume(name: str, phase: str, path: str = f"{FOLDER}/1", kind: str = "local") -> dict[str, Any]:
    terms = [{"matchExpressions": [{"key": "kubernetes.io/hostname", "values": ["w1"]}]}]
    return {
        "metadata": {"name": name},
        "spec": {
            kind: {"path": path},
            "claimRef": {"namespace": "n", "name": "data"},
            "nodeAffinity": {"required": {"nodeSelectorTerms": terms}},
        },
        "status": {"phase": phase},
    }


def claim(**meta: Any) -> dict[str, Any]:
    return {"metadata": {"namespace": "n", "name": "data", **meta}}


def test_a_folder_with_a_volume_in_use_stays() -> None:
    with pytest.raises(ApplyError) as caught:
        walk(removed(FOLDER), (listed(volume("pv1", "Bound"), volume("pv2", "Bound", "/other/1")), listed(claim())))
    assert caught.value.found == "pv1 on node w1, claimed by n/data"


@pytest.mark.parametrize("kind", ["local", "hostPath"])
def test_volumes_that_nobody_claims_go_with_it_and_others_stay(kind: str) -> None:
    found = (listed(volume("pv1", "Released", kind=kind), volume("pv2", "Released", f"{FOLDER}-other/1")), listed())
    _, asked = walk(removed(FOLDER), found, DONE)
    assert asked[-1].startswith("delete persistentvolumes --ignore-not-found --wait=false pv1 ")
    _, asked = walk(removed(FOLDER), (listed(volume("pv2", "Bound", "/other/1")), listed()))
    assert not any("delete" in line for line in asked)


def test_a_volume_whose_claim_is_about_to_go_is_waited_for() -> None:
    leaving = (listed(volume("pv1", "Bound")), listed(claim(deletionTimestamp="now")))
    gone = (listed(volume("pv1", "Released")), listed())
    _, asked = walk(removed(FOLDER), leaving, (Answer(code=0, text="Released\n"), *gone), DONE)
    assert [line.split()[0] for line in asked] == ["get"] * 5 + ["delete"]
    missing = Answer(code=1, words='Error from server (NotFound): persistentvolumes "pv1" not found\n')
    _, asked = walk(removed(FOLDER), leaving, missing, (listed(), listed()))
    assert not any("delete" in line for line in asked)
    with pytest.raises(ApplyError, match="were not given up"):
        walk(removed(FOLDER), leaving, *[(LATE, *leaving)] * 3)


def test_a_cluster_that_does_not_answer_is_told() -> None:
    silent = Answer(code=1, words="The connection to the server x was refused\n")
    with pytest.raises(ApplyError, match="could not be asked"):
        walk(removed(FOLDER), silent)
    with pytest.raises(ApplyError, match="could not be deleted"):
        walk(removed(FOLDER), (listed(volume("pv1", "Released")), listed()), silent)
