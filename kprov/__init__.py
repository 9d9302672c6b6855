"""kprov turns plain Linux machines that answer on SSH into a production Kubernetes cluster."""

__version__ = "0.1.0"
