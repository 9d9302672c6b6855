"""What kubelet itself would refuse when it starts is found in the inventory, with line and column."""

from __future__ import annotations

import pytest
from inventory_text import cluster, loaded, mistakes, only

BROKEN = [  # a line of `cluster`, column, path, what, needed
    ("kubelet: {evictionHard: {memory.availble: 5%}}", 28, "evictionHard.memory.availble", "no signal", "a signal"),
    ("kubelet: {evictionHard: {memory.available: 100%}}", 46, "memory.available", "no threshold", "below 100%"),
    ("kubelet: {evictionHard: {memory.available: much}}", 46, "memory.available", "no threshold", "quantity"),
    ("kubelet: {evictionMinimumReclaim: {disk: 1Gi}}", 38, "evictionMinimumReclaim.disk", "no signal", "a signal"),
    ("kubelet: {evictionSoft: {memory.available: 5%}}", 46, "evictionSoft", "without the time", "GracePeriod"),
    ("kubelet: {imageGCHighThresholdPercent: 70}", 42, "imageGCHigh", "below the share", "below imageGCHigh"),
    ("kubelet: {imageGCLowThresholdPercent: 101}", 41, "imageGCLow", "out of range", "from 0 to 100"),
    ("kubelet: {imageMaximumGCAge: 1m}", 32, "imageMaximumGCAge", "too old before", "above imageMinimumGCAge"),
    ("kubelet: {maxPods: 0}", 22, "maxPods", "out of range", "1 or more"),
    ("kubelet: {maxPods: -3}", 22, "maxPods", "out of range", "1 or more"),
    ("kubelet: {containerLogMaxFiles: 1}", 35, "containerLogMaxFiles", "out of range", "2 or more"),
    ("kubelet: {serializeImagePulls: true, maxParallelImagePulls: 3}", 63, "maxParallel", "one after", "false"),
    ("kubelet: {shutdownGracePeriodCriticalPods: 90s}", 46, "CriticalPods", "more time than all", "60s"),
    ("kubelet: {shutdownGracePeriod: 10s}", 34, "shutdownGracePeriod", "more time than all", "at most"),
    ("kubelet: {shutdownGracePeriodByPodPriority: [{priority: 0, shutdownGracePeriodSeconds: 9}],"
     " shutdownGracePeriod: 90s}", 47, "ByPodPriority", "two ways", "either"),
    ("kubelet: {cpuManagerPolicy: static, kubeReserved: {cpu: 0m}, systemReserved: null}", 31, "cpuManagerPolicy",
     "CPUs that are kept", "reservedSystemCPUs"),
    ("kubelet: {memoryManagerPolicy: Static}", 34, "memoryManagerPolicy", "memory that is kept", "reservedMemory"),
    ("kubelet: {enforceNodeAllocatable: [kube-reserved]}", 37, "enforceNodeAllocatable", "no cgroup", "kubeReserved"),
    ("kubelet: {enforceNodeAllocatable: [system-reserved]}", 37, "enforceNode", "no cgroup", "systemReserved"),
    ("kubelet: {cgroupsPerQOS: false}", 28, "cgroupsPerQOS", "which are off", "cgroupsPerQOS: true"),
    ("kubelet: {reservedSystemCPUs: 0-1, systemReservedCgroup: /a}", 33, "reservedSystemCPUs", "CPUs are", "either"),
    ("kubelet: {enforceNodeAllocatable: [none, pods]}", 37, "enforceNode", "nothing is to be", "without none"),
    ("kubelet: {systemCgroups: /system}", 28, "systemCgroups", "no root", "`cgroupRoot`"),
    ("kubelet: {preloadedImagesVerificationAllowlist: [a]}", 51, "preloadedImages", "does not read", "NeverVerifyAllow"),
    ("kubelet: {kubeReserved: {memory: 1GB}}", 36, "kubeReserved.memory", "no quantity", "512Mi"),
    ("kubelet: {systemReserved: {mem: 1Gi}}", 30, "systemReserved.mem", "nothing that can", "a resource"),
    ("kubelet: {reservedSystemCPUs: 0-}", 33, "reservedSystemCPUs", "no list of CPUs", "0-1,4"),
    ("kubelet: {reservedSystemCPUs: '3-1'}", 33, "reservedSystemCPUs", "no list of CPUs", "0-1,4"),
    ("kubelet: {memorySwap: {swapBehavior: Unlimited}}", 40, "swapBehavior", "no way", "LimitedSwap"),
    ("kubelet: {containerLogMaxSize: 10MB}", 34, "containerLogMaxSize", "no size", "10Mi"),
    ("kubelet: {clusterDNS: [10.96.0.10, dns.example.org]}", 38, "clusterDNS[1]", "no address", "find no names"),
    ("kubelet: {allowedUnsafeSysctls: ['net.*', vm.swappiness]}", 45, "Sysctls[1]", "whole node", "kernel.shm"),
    ("kubelet: {allowedUnsafeSysctls: ['kernel.*']}", 36, "Sysctls[0]", "whole node", "kernel.shm"),
    ("kubelet: {cpuCFSQuotaPeriod: 5s}", 32, "cpuCFSQuotaPeriod", "out of range", "from 0.001s to 1s"),
    ("kubelet: {crashLoopBackOff: {maxContainerRestartPeriod: 10m}}", 59, "crashLoop", "out of range", "to 300s"),
    ("kubelet: {evictionSoft: {pid.available: 5%}, evictionSoftGracePeriod: {pid.available: soon}}", 89,
     "evictionSoftGracePeriod", "no time", "1m30s"),
    ("kubelet: {shutdownGracePeriod: 500ms, shutdownGracePeriodCriticalPods: 0s}", 34, "GracePeriod", "out of", "1s or"),
    ("kubelet: {cpuManagerPolicyOptions: {full-pcpus-only: 'true'}}", 38, "PolicyOptions", "no options", "static"),
    ("kubelet: {cpuManagerPolicy: static, cpuManagerPolicyOptions: {full-pcpu: 'true'}}", 65, "full-pcpu", "no option",
     "kubelet's"),
    ("kubelet: {userNamespaces: {idsPerPod: 1000}}", 41, "idsPerPod", "no number", "65536"),
    ("kubelet: {tracing: {samplingRatePerMillion: 2000000}}", 47, "samplingRate", "out of range", "to 1000000"),
    ("kubelet: {logging: {format: xml}}", 22, "logging", "no format", "json"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "column", "path", "what", "needed"), BROKEN)
def test_what_kubelet_would_refuse(line: str, column: int, path: str, what: str, needed: str) -> None:
    mistake = only(cluster(line))
    assert mistake.where == f"i.yaml:3:{column}"
    assert path in mistake.what
    assert what in mistake.what
    assert needed in mistake.needed


def test_a_signal_that_is_nearly_right_is_named() -> None:
    assert only(cluster("kubelet: {evictionHard: {memory.availble: 5%}}")).todo == "did you mean 'memory.available'?"


PROPER = [
    "kubelet: {evictionHard: {memory.available: 0%, nodefs.inodesFree: 5%, pid.available: '100', imagefs.available: 1.5Gi}}",
    "kubelet: {evictionSoft: {memory.available: 9%}, evictionSoftGracePeriod: {memory.available: 1m30s}}",
    "kubelet: {imageGCHighThresholdPercent: 70, imageGCLowThresholdPercent: 60, imageMaximumGCAge: 2m1s}",
    "kubelet: {imageMaximumGCAge: 0s, imageMinimumGCAge: 1h}",
    "kubelet: {serializeImagePulls: true}",
    "kubelet: {shutdownGracePeriod: 0s, shutdownGracePeriodCriticalPods: 0s}",
    "kubelet: {shutdownGracePeriodByPodPriority: [{priority: 0, shutdownGracePeriodSeconds: 9}]}",
    "kubelet: {cpuManagerPolicy: static}",
    "kubelet: {cpuManagerPolicy: static, reservedSystemCPUs: '0', kubeReserved: {cpu: '0'}, systemReserved: {cpu: '0'}}",
    "kubelet: {cpuManagerPolicy: static, kubeReserved: {}, systemReserved: {memory: 1Gi}}",  # kprov's CPU stays
    "kubelet: {enforceNodeAllocatable: [pods, kube-reserved], kubeReservedCgroup: /kube}",
    "kubelet: {cgroupsPerQOS: false, enforceNodeAllocatable: []}",
    "kubelet: {logging: {format: json, verbosity: 2}}",
    "kubelet: {kubeReserved: {memory: 1.5Gi, cpu: 250m, pid: '1000', ephemeral-storage: '1e9'}, reservedSystemCPUs: '0-1,4'}",
    "kubelet: {memorySwap: {swapBehavior: LimitedSwap}, containerLogMaxSize: 50Mi, clusterDNS: [10.96.0.10, 'fd00::a']}",
    "kubelet: {allowedUnsafeSysctls: [net.core.somaxconn, 'net.*', 'kernel.shm*', kernel.sem, fs.mqueue.msg_max]}",
    "kubelet: {crashLoopBackOff: {maxContainerRestartPeriod: 5m}, cpuCFSQuotaPeriod: 50ms, nodeStatusUpdateFrequency: 0s}",
    "kubelet: {cpuManagerPolicy: static, cpuManagerPolicyOptions: {full-pcpus-only: 'true'}}",
    "kubelet: {systemCgroups: /s, cgroupRoot: /}",
    "kubelet: {userNamespaces: {idsPerPod: 131072}, tracing: {samplingRatePerMillion: 100}}",
]


@pytest.mark.parametrize("line", PROPER)
def test_what_kubelet_takes_is_taken(line: str) -> None:
    loaded(cluster(line))


def test_settings_of_a_host_are_judged_with_those_of_the_cluster() -> None:
    host = "hosts:\n  cp1: {address: 192.0.2.11, groups: [control_plane], kubelet: {imageGCHighThresholdPercent: 55}}\n"
    (mistake,) = mistakes(cluster("kubelet: {imageGCLowThresholdPercent: 60}", hosts=host))
    assert "cluster.kubelet.imageGCLowThresholdPercent" in mistake.what
    loaded(cluster("kubelet: {imageGCLowThresholdPercent: 50}", hosts=host))


def test_other_name_servers_than_the_clusters_are_a_caution() -> None:
    (told,) = loaded(cluster("kubelet: {clusterDNS: [192.0.2.53]}")).warnings
    assert told.where == "i.yaml:3:13"
    assert "the cluster by its own DNS" in told.what
    assert not loaded(cluster("kubelet: {clusterDNS: [192.0.2.53, 10.96.0.10]}")).warnings
    assert not loaded(cluster("dns_ip: 10.96.0.53", "kubelet: {clusterDNS: [10.96.0.53]}")).warnings
