"""The one I/O seam to hosts. Importing it loads no SSH library; the first SSH connection does."""

from kprov.transport.base import Count, Counters, Held, Input, OnOutput, Result, Session, Transport, connect_many

__all__ = ["Count", "Counters", "Held", "Input", "OnOutput", "Result", "Session", "Transport", "connect_many"]
