#!/bin/sh
# Runs libvirt in namespaces of its own, until it is ended: libvirt.sh FOLDER. Said "ready", it serves qemu:///system to
# whoever enters them. What it and its guests write to /etc, /run, /var and ~/.ssh is in FOLDER; its networks are nobody
# else's. With the first process of these namespaces everything else in them ends.
set -eu
folder=$1

mount --make-rprivate /
# Mounts of others below these folders are let go, or they would stay here after their owners have unmounted them.
for place in etc run var; do
	findmnt --raw --noheadings --output TARGET | grep "^/$place/" | sort --reverse | xargs -r umount --lazy
	mkdir -p "$folder/$place" "$folder/.$place"
	mount -t overlay overlay -o "lowerdir=/$place,upperdir=$folder/$place,workdir=$folder/.$place" "/$place"
done
mkdir -p "$folder/ssh" ~/.ssh
chmod 0700 "$folder/ssh"
mount --bind "$folder/ssh" ~/.ssh
# The network's devices of these namespaces, and no cgroups: guests need none of this computer's.
umount --recursive --lazy /sys
mount -t sysfs sysfs /sys
ip link set lo up

# As Debian's libvirt-daemon-system would: it also starts services, which are for a computer that has no other use.
for name in libvirt-qemu libvirt-dnsmasq; do
	groupadd --system "$name"
	useradd --system --gid "$name" --no-create-home --shell /usr/sbin/nologin "$name"
done
mkdir -p /var/log/libvirt/qemu
cat >/etc/libvirt/qemu.conf <<END
user = "root"
group = "root"
security_driver = "none"
stdio_handler = "file"
cgroup_controllers = []
namespaces = []
remember_owner = 0
END
printf 'unix_sock_group = "root"\nauth_unix_rw = "none"\n' >/etc/libvirt/libvirtd.conf
libvirtd --daemon --pid-file /run/libvirtd.pid
for _ in $(seq 60); do
	! virsh -q -c qemu:///system version >/dev/null 2>&1 || break
	sleep 1
done
virsh -q -c qemu:///system version >/dev/null
echo ready
sleep infinity &
wait # also for those whose parents have ended: as the first process here, we are the parent of all of them
