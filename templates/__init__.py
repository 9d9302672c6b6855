"""Jinja2 templates, a folder a role."""
