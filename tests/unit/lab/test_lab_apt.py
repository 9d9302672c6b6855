"""Which package sources and name servers of the host a lab machine gets."""

from __future__ import annotations

from kprov.lab import apt

DEB822 = """\
Types: deb
# Suites: bookworm
URIs: http://packages.test/extra
Suites: bookworm-updates
Components: main

Types: deb
URIs: http://packages.test/debian/
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/archive.gpg
"""
ONE_LINE = """\
# deb http://commented.test/debian bookworm main
deb-src http://source.test/debian bookworm main
deb http://other.test/tool stable main
deb [signed-by=/k.gpg arch=amd64] http://packages.test/debian bookworm main # ours
"""


def test_the_mirror_is_where_the_host_has_its_release_from() -> None:
    assert apt.mirror({"debian.sources": DEB822}, "bookworm") == "http://packages.test/debian"
    assert apt.mirror({"sources.list": ONE_LINE}, "bookworm") == "http://packages.test/debian"


def test_without_a_source_for_the_release_debootstraps_default_is_left() -> None:
    assert apt.mirror({"debian.sources": DEB822, "sources.list": ONE_LINE}, "trixie") is None
    assert apt.mirror({"a.list": "deb file:/srv/debian bookworm main\n"}, "bookworm") is None
    assert apt.mirror({}, "bookworm") is None


def test_sources_are_told_for_another_release() -> None:
    text = apt.translated({"a": "deb http://x.test/d bookworm-security main\n# notbookworm\n"}, "bookworm", "trixie")
    assert text == {"a": "deb http://x.test/d trixie-security main\n# notbookworm\n"}


def test_settings_about_reaching_sources_are_kept_and_no_others() -> None:
    dump = """\
APT::Architecture "amd64";
Acquire::http "";
Acquire::http::Proxy "http://proxy.test:3128";
Acquire::https::Proxy "http://user:secret@proxy.test:3128";
Acquire::Check-Valid-Until "false";
Acquire::Languages "de";
DPkg::Post-Invoke:: "rm -rf /x";
"""
    assert apt.kept_settings(dump).splitlines() == [
        'Acquire::Languages "none";',
        'Acquire::http::Proxy "http://proxy.test:3128";',
        'Acquire::Check-Valid-Until "false";',
    ]


def test_name_servers_on_loopback_are_left_out() -> None:
    stub = "# stub\nnameserver 127.0.0.53\noptions edns0\n"
    real = "nameserver 192.0.2.53\nnameserver ::1\nsearch example.test\n"
    assert apt.nameservers([stub, real]) == "nameserver 192.0.2.53\nsearch example.test\n"
    assert apt.nameservers([stub]) == ""
    assert apt.nameservers(["nameserver 127.0.0.1\nnameserver 192.0.2.1\n", real]) == "nameserver 192.0.2.1\n"
