"""The disk image that all virtual machines of a release share, with its kernel and initrd beside it.

Made once from the base of the containers, and never written to again: each machine writes to an overlay of its own.
Must leave nothing half made under its final name.
"""

from __future__ import annotations

import functools
import hashlib
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kprov.lab import base
from kprov.lab.commands import require_space, run
from kprov.lab.layout import CACHE
from kprov.lab.mounts import remove_tree
from kprov.values.errors import LabError

KERNELS = {"x86_64": "linux-image-cloud-amd64"}  # Debian's package, by this computer's architecture
PACKAGES = ("initramfs-tools", "udev", "e2fsprogs", "logsave", "zstd")
SIZE = 3 * 2**30  # of the image; what a machine's disk has beyond it is taken at its first start
FSTAB = "/dev/vda / ext4 defaults,errors=remount-ro,x-systemd.growfs 0 1\n"
SEED = """\
#!/bin/sh
# Makes this machine out of the shared image: its second disk is a tar of the files that are the machine's own.
# The kernel knows that disk since it looked for the first one; udev may take minutes to say so.
set -eu
tar --extract --preserve-permissions --file=/dev/vdb --directory=/
hostname -F /etc/hostname
chpasswd </root/kprov-lab-password
rm /root/kprov-lab-password
sync
touch /etc/kprov-lab-seeded
"""
SEED_UNIT = """\
[Unit]
Description=Files of this lab machine
DefaultDependencies=no
After=systemd-remount-fs.service
Before=basic.target systemd-networkd.service ssh.service
ConditionPathExists=!/etc/kprov-lab-seeded

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/local/sbin/kprov-lab-seed

[Install]
WantedBy=sysinit.target
"""
SETUP = """\
set -eu
systemctl disable kprov-lab-writable.service
rm /etc/systemd/system/kprov-lab-writable.service
export DEBIAN_FRONTEND=noninteractive
mkdir -p /etc/initramfs-tools/conf.d
printf 'COMPRESS=lz4\\nCOMPRESSLEVEL=1\\nMODULES=most\\n' > /etc/initramfs-tools/conf.d/kprov-lab
apt-get -qy -o Dpkg::Use-Pty=0 install --no-install-recommends lz4 "$@"
# Files of packages that machines will want stay, and so does apt's cache: to make it takes a minute there.
rm -f /var/cache/apt/archives/linux-image-*.deb
apt-cache -q gencaches
: > /etc/machine-id
mkdir -p /var/log/journal
chmod 0755 /usr/local/sbin/kprov-lab-seed
systemctl enable kprov-lab-seed.service
# Seconds of an emulated machine's start, for nobody.
systemctl mask serial-getty@ttyS0.service
journalctl --update-catalog
ldconfig
touch /etc/.updated /var/.updated
"""
_NEEDED = 4 * 2**30
_TIMEOUT = 1800.0


@dataclass(frozen=True, kw_only=True)
class Layer:
    """What makes another image out of a lab's: files by path below its root, then a script that root runs in it."""

    files: Mapping[str, str]
    script: str


@dataclass(frozen=True, kw_only=True)
class Image:
    """A release's disk and what starts it. `kernel` and `initrd` are given to QEMU; the disk has no boot loader."""

    folder: Path

    @property
    def disk(self) -> Path:
        return self.folder / "disk.raw"

    @property
    def kernel(self) -> Path:
        return self.folder / "vmlinuz"

    @property
    def initrd(self) -> Path:
        return self.folder / "initrd.img"

    @property
    def release(self) -> str:
        """The kernel's release, as `uname -r` says it; `unknown` when somebody emptied the cache."""
        try:
            return (self.folder / "release").read_text(encoding="ascii").strip()
        except FileNotFoundError:
            return "unknown"


def key(suite: str, architecture: str, layer: Layer | None = None) -> str:
    """Name of an image: it changes with anything that goes into it."""
    texts: tuple[str, ...] = (KERNELS.get(architecture, ""), *PACKAGES, str(SIZE), FSTAB, SEED, SEED_UNIT, SETUP)
    if layer:
        texts += (*(part for file in sorted(layer.files.items()) for part in file), layer.script)
    parts = "\0".join((base.key(suite, architecture), *texts))
    return f"image-{suite}-{hashlib.sha256(parts.encode()).hexdigest()[:12]}"


def ensure(suite: str, layer: Layer | None = None) -> Image:
    """The image of a release, made now if it is not there. Raises LabError."""
    architecture = platform.machine()
    if architecture not in KERNELS:
        raise LabError(
            "virtual machines cannot be made on a computer of this architecture",
            found=architecture,
            needed=" or ".join(KERNELS),
        )
    image = Image(folder=CACHE / key(suite, architecture, layer))
    if image.folder.is_dir():
        return image
    root = base.ensure(suite)
    with base.cache_lock() as lock:
        if not image.folder.is_dir():
            require_space(CACHE, _NEEDED)
            partial = CACHE / f".{image.folder.name}.partial"
            remove_tree(partial)
            partial.mkdir(mode=0o700)
            _build(root, Image(folder=partial), KERNELS[architecture], layer, lock)
            partial.rename(image.folder)
    return image


def _build(source: Path, image: Image, kernel: str, layer: Layer | None, lock: int) -> None:
    do = functools.partial(run, timeout=_TIMEOUT, inherited=(lock,))
    root = image.folder / "root"
    do(["cp", "--archive", str(source), str(root)])
    for path, text in (
        ("etc/fstab", FSTAB),
        ("usr/local/sbin/kprov-lab-seed", SEED),
        ("etc/systemd/system/kprov-lab-seed.service", SEED_UNIT),
    ):
        (root / path).write_text(text, encoding="ascii")
    do(["chroot", str(root), "/bin/sh", "-s", kernel, *PACKAGES], text=SETUP)
    if layer:
        for path, text in layer.files.items():
            (root / path).write_text(text, encoding="ascii")
        do(["chroot", str(root), "/bin/sh", "-s"], text=layer.script)
    (installed,) = (root / "boot").glob("vmlinuz-*")
    release = installed.name.removeprefix("vmlinuz-")
    (root / f"boot/initrd.img-{release}").rename(image.initrd)
    do(["cp", str(installed), str(image.kernel)])
    (image.folder / "release").write_text(f"{release}\n", encoding="ascii")
    do(["mke2fs", "-q", "-t", "ext4", "-d", str(root), str(image.disk), f"{SIZE // 1024}k"])
    remove_tree(root)
