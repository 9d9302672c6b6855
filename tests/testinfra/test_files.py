"""Keys and secrets on disk: whose they are and who can read them; and what must not be on a host at all."""

from __future__ import annotations

import pytest
from testinfra.host import Host as Machine

from kprov.testinfra import expected
from kprov.values.model import Cluster, Host

FOLDERS = "/etc/kubernetes /etc/etcd"
FIND_KEYS = f"find {FOLDERS} -xdev -type f -exec grep -lsF 'PRIVATE KEY-----' {{}} + 2>/dev/null; true"


def test_no_private_key_is_open_to_others(host: Machine) -> None:
    """Whatever a file is called: what holds a private key is for its owner alone (CIS 1.1.21)."""
    keys = host.check_output(FIND_KEYS).splitlines()
    assert keys, "no private key at all: is this host set up?"
    modes = host.check_output("stat -c '%%a %%U %%n' " + " ".join("%s" for _ in keys), *keys).splitlines()
    assert not [line for line in modes if not line.split(" ", 1)[0].endswith("00")]


def test_keys_of_certificates_belong_to_one_user(host: Machine, certificate: str) -> None:
    owner, mode = host.check_output("stat -c '%%U %%a' %s", f"{certificate}.key").split()
    assert mode == "600"
    assert owner == host.check_output("stat -c %%U %s", f"{certificate}.crt")


def test_private_file(host: Machine, cluster: Cluster, spec: Host, private_file: str) -> None:
    assert host.check_output("stat -c '%%U %%a %%F' %s", private_file) == (
        f"{expected.private_files(cluster, spec)[private_file]} 600 regular file"
    )


def test_unit_files_are_roots(host: Machine, unit: str) -> None:
    """CIS 4.1.1, 4.1.2."""
    assert host.check_output("stat -c '%%U:%%G %%a' %s", f"/etc/systemd/system/{unit}.service") == "root:root 600"


def test_no_ca_key_is_on_the_host(host: Machine) -> None:
    """The keys of the CAs never leave the operator."""
    names = "-name '*ca.key' -o -name '*ca-key.pem'"
    found = host.check_output(f"find {FOLDERS} /var/lib/kprov /root -xdev {names} 2>/dev/null; true")
    assert found == ""


def test_kubeconfigs_hold_no_key(host: Machine) -> None:
    listed = "find /etc/kubernetes -maxdepth 1 -name '*.conf' -exec grep -lF client-key-data {} + 2>/dev/null; true"
    assert host.check_output(listed) == ""


def test_nothing_is_left_in_run(host: Machine) -> None:
    """Credentials that a run puts into /run/kprov live only as long as that run."""
    secrets = "client-key-data: [A-Za-z0-9]|BEGIN [A-Z ]*PRIVATE KEY"
    found = host.check_output(f"find /run/kprov -type f -exec grep -lsE '{secrets}' {{}} + 2>/dev/null; true")
    assert found == ""


@pytest.mark.on("etcd")
def test_etcd_data_is_etcds(host: Machine) -> None:
    """CIS 1.1.11, 1.1.12."""
    assert host.check_output("stat -c '%U:%G %a' /var/lib/etcd") == "etcd:etcd 700"
