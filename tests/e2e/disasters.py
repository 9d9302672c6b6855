"""What disasters look like in figures, of a node that does not exist: posted to a running store, alerts must see them.

A real lost majority, full disk or crash loop would take half an hour, and the cluster that the other tests are about.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

NODE = "made-up"
Points = Sequence[tuple[float, float]]  # seconds ago, value


@dataclass(frozen=True)
class Disaster:
    """Series, by what stands before the node's label, with their points."""

    sick: Mapping[str, Points]
    well: Mapping[str, Points]  # empty where the disaster ends with the time that its rule looks back
    lasts: bool = False  # its alert waits for a quarter of an hour or more: it is seen to wait

    @property
    def ends(self) -> bool:
        return bool(self.well)


def now(value: float) -> Points:
    """A figure that has stood for a minute: rules are evaluated half a minute late."""
    return (60, value), (0, value)


def moved(*values: float) -> Points:
    """A figure that changed 13 to 14 minutes ago, and does so no more: rules that look back 15 minutes see it end."""
    return tuple((870 - 10 * number, value) for number, value in enumerate(values))


def rose(value: float) -> Points:
    """A counter that rose within the last five minutes."""
    return (240, 0), (180, value), (0, value)


def ratio(part: str, whole: str, sick: float, well: float) -> Disaster:
    return Disaster({part: now(sick), whole: now(1e11)}, {part: now(well)[1:]})


FILE_SYSTEM = 'mountpoint="/",fstype="ext4",device="/dev/sda",'
CONTAINER = 'namespace="made-up",pod="crashes",container="main",'
CLAIM = 'namespace="made-up",persistentvolumeclaim="data",'
BUCKET = "etcd_disk_wal_fsync_duration_seconds_bucket{"
AVAILABLE = f"node_filesystem_avail_bytes{{{FILE_SYSTEM}"
NOT_AFTER = 'kprov_certificate_not_after_seconds{path="/etc/etcd/pki/peer.crt",'
DAY = 86400


def disasters() -> dict[str, Disaster]:
    """Disaster of each alert that can be told by figures."""
    today = time.time()
    filling = {AVAILABLE: ((6 * 3600, 6e10), (3 * 3600, 3e10), (60, 5e9), (0, 5e9))}
    size = {f"node_filesystem_size_bytes{{{FILE_SYSTEM}": now(1e11)}
    room = {AVAILABLE: ((0, 6e10),)}
    return {
        "EtcdNoLeader": Disaster({"etcd_server_has_leader{": now(0)}, {"etcd_server_has_leader{": ((0, 1),)}),
        "EtcdMajorityLost": Disaster(
            {f'up{{job="etcd",member="{number}",': now(0) for number in range(5)},
            {f'up{{job="etcd",member="{number}",': ((0, 1),) for number in range(5)},
        ),
        "TargetDown": Disaster({'up{job="node",': now(0)}, {'up{job="node",': ((0, 1),)}),
        "EtcdNearQuota": ratio("etcd_mvcc_db_total_size_in_bytes{", "etcd_server_quota_backend_bytes{", 9e10, 1e10),
        "BackupFailed": Disaster({"kprov_backup_good{": now(0)}, {"kprov_backup_good{": ((0, 1),)}),
        "BackupOld": Disaster(
            {"kprov_backup_success_timestamp_seconds{": now(today - DAY), "kprov_backup_interval_seconds{": now(3600)},
            {"kprov_backup_success_timestamp_seconds{": ((0, today),)},
        ),
        "EtcdLeaderChanges": Disaster({"etcd_server_leader_changes_seen_total{": moved(1, 6)}, {}),
        "EtcdSlowDisk": Disaster(
            {f'{BUCKET}le="{le}",': rose(value) for le, value in (("0.1", 0), ("1", 1000), ("+Inf", 1000))},
            {f'{BUCKET}le="{le}",': ((0, value),) for le, value in (("0.1", 1e9), ("1", 1e9), ("+Inf", 1e9))},
            lasts=True,
        ),
        "DiskFull": Disaster({**filling, **size}, room),
        "DiskFillsUp": Disaster({**filling, **size}, room, lasts=True),
        "InodesShort": ratio(
            f"node_filesystem_files_free{{{FILE_SYSTEM}", f"node_filesystem_files{{{FILE_SYSTEM}", 1e9, 9e10
        ),
        "MemoryShort": Disaster(
            {"node_memory_MemAvailable_bytes{": now(1e9), "node_memory_MemTotal_bytes{": now(1e11)},
            {"node_memory_MemAvailable_bytes{": ((0, 9e10),)},
            lasts=True,
        ),
        "ClockOff": Disaster(
            {"node_timex_offset_seconds{": now(-3)}, {"node_timex_offset_seconds{": ((0, 0),)}, lasts=True
        ),
        "VolumeFull": ratio(
            f"kubelet_volume_stats_available_bytes{{{CLAIM}", f"kubelet_volume_stats_capacity_bytes{{{CLAIM}", 1e9, 9e10
        ),
        "StoreFull": Disaster(
            {'vm_free_disk_space_bytes{path="/data",': now(1e8)},
            {'vm_free_disk_space_bytes{path="/data",': ((0, 1e11),)},
        ),
        "CertificateEndsNow": Disaster({NOT_AFTER: now(today + DAY)}, {NOT_AFTER: ((0, today + 365 * DAY),)}),
        "CertificateEndsSoon": Disaster({NOT_AFTER: now(today + DAY)}, {NOT_AFTER: ((0, today + 365 * DAY),)}),
        "ApiErrors": Disaster(
            {'apiserver_request_total{code="500",': rose(1e6)},
            {'apiserver_request_total{code="200",': ((60, 0), (0, 1e9))},
        ),
        "DnsErrors": Disaster(
            {'coredns_dns_responses_total{rcode="SERVFAIL",': rose(1e6)},
            {'coredns_dns_responses_total{rcode="NOERROR",': ((60, 0), (0, 1e9))},
        ),
        "PodsPending": Disaster(
            {'scheduler_pending_pods{queue="unschedulable",': now(3)},
            {'scheduler_pending_pods{queue="unschedulable",': ((0, 0),)},
            lasts=True,
        ),
        "PodCrashLooping": Disaster({f"container_start_time_seconds{{{CONTAINER}": moved(1, 2, 3, 4)}, {}),
        "ContainersCrash": Disaster(
            {'kubelet_terminated_containers_total{exit_code="1",': ((1720, 0), (1700, 3), *moved(3, 6))}, {}
        ),
        "ContainersDoNotStart": Disaster(
            {'kubelet_started_containers_errors_total{container_type="container",code="Error",': moved(0, 5)}, {}
        ),
        "ContainerOutOfMemory": Disaster({f"container_oom_events_total{{{CONTAINER}": moved(0, 1)}, {}),
        "RulesFail": Disaster({"vmalert_alerting_rules_errors_total{": moved(0, 1)}, {}),
        "AlertsNotSent": Disaster({"vmalert_alerts_send_errors_total{": moved(0, 1)}, {}),
    }


# Two starts again are no loop: that there was none before the first must not count as a third.
HARMLESS: Mapping[str, Points] = {
    'container_start_time_seconds{namespace="made-up",pod="young",container="main",': moved(1, 2, 3)
}


def lines(series: Mapping[str, Points]) -> Iterator[str]:
    """As the store takes them."""
    at = time.time()
    for start, points in series.items():
        for ago, value in points:
            yield f'{start}node="{NODE}"}} {value!r} {(at - ago) * 1000:.0f}'
