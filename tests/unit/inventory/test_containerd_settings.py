"""Settings of containerd: where they stand in its file, what kprov needs itself, and what its own defaults know."""

from __future__ import annotations

import pytest
from inventory_text import cluster, loaded, mistakes, only

from kprov.inventory.taken_fields import TAKEN_FIELDS

RUNTIME = "plugins: {io.containerd.cri.v1.runtime: "


@pytest.mark.parametrize(
    ("settings", "column", "what", "needed"),
    [
        ("enable_selinux: 'yes'", 32, "the wrong kind of value", "true or false"),
        ("max_container_log_line_size: many", 45, "the wrong kind of value", "a whole number"),
        ("enable_selinux: {a: 1}", 32, "the wrong kind of value", "true or false"),
        ("debug: info", 23, "the wrong kind of value", "a mapping"),
        ("disabled_plugins: x", 34, "the wrong kind of value", "a list"),
        (RUNTIME + "{enable_selinux: 1}}", 73, "the wrong kind of value", "true or false"),
        ("unset_seccomp_profile: null", 16, "nothing stands after this key", ""),
    ],
)
def test_what_containerd_would_refuse(settings: str, column: int, what: str, needed: str) -> None:
    mistake = only(cluster(f"containerd: {{{settings}}}"))
    assert mistake.where == f"i.yaml:3:{column}"
    assert what in mistake.what
    assert needed in mistake.needed


def test_what_its_defaults_do_not_have_is_a_caution() -> None:
    text = cluster("containerd: {stats: {a: 1}, enable_selinux: true, plugins: {io.example.v1.own: {x: 1}}}")
    told = [caution.what for caution in loaded(text).warnings]
    assert [what.partition(": ")[0] for what in told] == [
        "cluster.containerd.stats",
        "cluster.containerd.plugins.io.example.v1.own",
    ]
    assert all("ignores what it does not know" in what for what in told)


def test_proper_settings_of_any_depth_are_taken_without_a_word() -> None:
    text = cluster(
        "containerd: {enable_cdi: true, cdi_spec_dirs: [/etc/cdi], debug: {level: debug}, oom_score: -999,",
        "  timeouts: {io.containerd.timeout.task.state: 5s}, grpc: {max_recv_message_size: 16777216},",
        "  plugins: {io.containerd.gc.v1.scheduler: {startup_delay: 1s, pause_threshold: 0.02}}}",
    )
    assert [c for c in loaded(text).warnings if "containerd" in c.what] == []


def test_what_kprovs_own_parts_rely_on_is_refused_with_a_reason() -> None:
    for entry in TAKEN_FIELDS["containerd"]:
        for path in entry.fields:
            text = "".join(f"{{{step}: " for step in path) + "x" + "}" * len(path)
            told = [m for m in mistakes(cluster(f"containerd: {text}")) if "cannot be set here" in m.what]
            assert [m.what.partition("here: ")[2] for m in told] == [entry.why]
    assert "OCI runtimes" in mistakes(cluster("containerd: {containerd: {runtimes: {kata: {}}}}"))[0].what
