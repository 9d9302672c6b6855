"""Paths on hosts that more than roles must know. Names only."""

BIN = "/opt/kprov/bin"
POD_CIDRS = "/etc/kprov/pod-cidrs"  # every node's record of all nodes' pod networks
BACKUP_WORK = "/var/lib/kprov-backup"  # of timed backups on hosts of etcd
KEPT_BACKUPS = "/var/lib/kprov-backups"  # which outlive the cluster
BACKUP_STATUS = "/var/lib/kprov-backup/status"  # how the last one ended
BACKUP_METRICS = "/run/kprov-backup"
NETWORK_MODE = "/etc/kprov/network-mode"  # every node's record of the network that it has now
NETWORK_HOSTS = "/etc/kprov/network-hosts"  # every node's record of whether pods reach ports of hosts
KUBELET_CONFIG = "/var/lib/kubelet/config.yaml"
CPU_STATE = "/var/lib/kubelet/cpu_manager_state"
MEMORY_STATE = "/var/lib/kubelet/memory_manager_state"
KUBE_PROXY_CONFIG = "/var/lib/kube-proxy/config.yaml"
SERVICE_ACCOUNT_PUBLIC = "/etc/kubernetes/pki/sa.pub"  # what tokens are checked with
API_SERVER_FOLDER = "/etc/kubernetes/kube-apiserver"  # what the API server reads again by itself, open to it alone
