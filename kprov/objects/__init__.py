"""Kubernetes objects as values: identity, comparison, the list of those that kprov made. It asks no API."""
