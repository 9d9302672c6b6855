"""The inventory: one YAML file → `Cluster`, or every mistake at once. Asks nothing of hosts."""

from kprov.inventory.load import Loaded, load, parse
from kprov.inventory.mistakes import Caution

__all__ = ["Caution", "Loaded", "load", "parse"]
