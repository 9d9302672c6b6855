"""The parts of the program that enforces NetworkPolicies on nodes, loaded as it loads them itself."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

FOLDER = Path(__file__).parents[3] / "templates" / "policies"


def loaded(name: str) -> ModuleType:
    sys.path.insert(0, str(FOLDER))
    spec = importlib.util.spec_from_file_location(f"policies_{name.strip('_')}", FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.path.remove(str(FOLDER))
    return module


main = loaded("__main__")
labels, node, rules, table, watch, kubelets = (
    sys.modules[name] for name in ("labels", "node", "rules", "table", "watch", "kubelets")
)
