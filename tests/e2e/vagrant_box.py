"""Makes a Vagrant box for libvirt out of a lab's image: `python tests/e2e/vagrant_box.py FILE.box [bookworm|trixie]`.

It is what a public box is: a user `vagrant` who may do everything and accepts the key that everybody knows, host keys made at
the first boot, an address by DHCP. Kernel and initrd lie beside the disk, which has no boot loader; the box's own Vagrantfile
says so to libvirt.
"""

from __future__ import annotations

import json
import sys
import tarfile
import tempfile
from pathlib import Path

from kprov.lab import image
from kprov.lab.commands import run
from kprov.lab.image import Layer

DISK = 12  # GiB; the file system takes it at the first boot
KEYS = "/usr/share/rubygems-integration/all/gems/vagrant-*/keys/vagrant.pub"  # Debian's package has it there
NETWORK = """\
[Match]
Name=eth0

[Network]
DHCP=ipv4
LinkLocalAddressing=no
IPv6AcceptRA=no
"""
HOST_KEYS = """\
[Unit]
Description=SSH host keys of this machine
Before=ssh.service
ConditionPathExists=!/etc/ssh/ssh_host_ed25519_key

[Service]
Type=oneshot
ExecStart=/usr/bin/ssh-keygen -q -t ecdsa -N '' -f /etc/ssh/ssh_host_ecdsa_key
ExecStart=/usr/bin/ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key

[Install]
WantedBy=ssh.service
"""
SSHD = "HostKey /etc/ssh/ssh_host_ecdsa_key\nHostKey /etc/ssh/ssh_host_ed25519_key\n"
SCRIPT = """\
set -eu
systemctl disable kprov-lab-seed.service
rm /etc/systemd/system/kprov-lab-seed.service /usr/local/sbin/kprov-lab-seed /etc/sudoers.d/deploy
userdel --remove admin
userdel --remove deploy
useradd --create-home --shell /bin/bash vagrant
mkdir -m 0700 /home/vagrant/.ssh
mv /etc/ssh/vagrant.pub /home/vagrant/.ssh/authorized_keys
chmod 0600 /home/vagrant/.ssh/authorized_keys
chown -R vagrant:vagrant /home/vagrant/.ssh
chmod 0440 /etc/sudoers.d/vagrant
systemctl enable ssh-host-keys.service
"""
VAGRANTFILE = """\
Vagrant.configure("2") do |config|
  config.vm.provider "libvirt" do |libvirt|
    libvirt.kernel = File.expand_path("vmlinuz", __dir__)
    libvirt.initrd = File.expand_path("initrd.img", __dir__)
    libvirt.cmd_line = "root=/dev/vda rw console=ttyS0 net.ifnames=0 TERM=dumb"
  end
end
"""


def layer(public_key: str) -> Layer:
    """What a box has that a lab's machine has not, and the other way round."""
    files = {
        "etc/hostname": "debian\n",
        "etc/hosts": "127.0.0.1 localhost\n127.0.1.1 debian\n",
        "etc/systemd/network/10-eth0.network": NETWORK,
        "etc/systemd/system/ssh-host-keys.service": HOST_KEYS,
        "etc/ssh/sshd_config.d/box.conf": SSHD,
        "etc/ssh/vagrant.pub": public_key,
        "etc/sudoers.d/vagrant": "vagrant ALL=(ALL:ALL) NOPASSWD: ALL\n",
    }
    return Layer(files=files, script=SCRIPT)


def make(box: Path, suite: str = "bookworm") -> None:
    """Make the box of a release. Raises LabError."""
    (key,) = Path("/").glob(KEYS.lstrip("/"))
    made = image.ensure(suite, layer(key.read_text(encoding="ascii")))
    metadata = {"provider": "libvirt", "format": "qcow2", "virtual_size": DISK}
    with tempfile.TemporaryDirectory(dir=box.parent) as name:
        folder = Path(name)
        (folder / "metadata.json").write_text(json.dumps(metadata), encoding="ascii")
        (folder / "Vagrantfile").write_text(VAGRANTFILE, encoding="ascii")
        disk = str(folder / "box.img")
        run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", str(made.disk), disk])
        run(["qemu-img", "resize", "-q", disk, f"{DISK}G"])
        with tarfile.open(box, "w") as archive:
            for file in (folder / "metadata.json", folder / "Vagrantfile", made.kernel, made.initrd, Path(disk)):
                archive.add(file, file.name)


if __name__ == "__main__":
    make(Path(sys.argv[1]).absolute(), *sys.argv[2:3])
