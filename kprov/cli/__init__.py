"""The command line: arguments, questions to the user, exit codes. The only part of kprov that prints."""

from kprov.cli.program import main

__all__ = ["main"]
