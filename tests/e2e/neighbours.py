"""What a machine of tests has before kprov comes, as people's machines do: real Docker, podman, a web server, an account, a
mount, a link, a table of the firewall, settings of the kernel; and the questions whether all of it still is what it was."""

from __future__ import annotations

from collections.abc import Mapping

from lab_cluster import LabCluster

# Debian's Docker runs on Debian's containerd.service.
PACKAGED = """
export DEBIAN_FRONTEND=noninteractive
apt-get -q update
apt-get -q install -y --no-install-recommends docker.io busybox-static
mkdir -p /root/image/bin
cp /bin/busybox /root/image/bin/
tar -C /root/image -c . | docker import - own:1
docker volume create kept
docker run -d --name web --restart=always -v kept:/data -v /anonymous own:1 /bin/busybox sh -c \\
    'echo kept > /data/word; echo kept > /anonymous/word; exec /bin/busybox httpd -f -p 8090 -h /data'
"""
# The same programs as Docker's own documents install them: unpacked, with a containerd that dockerd starts for itself.
STATIC = """
systemctl stop docker.socket docker.service containerd.service
cp /usr/sbin/dockerd /usr/sbin/docker-proxy /usr/bin/docker /usr/bin/containerd* /usr/sbin/runc /usr/local/bin/
mkdir -p /root/docker
cp -a /var/lib/docker/. /root/docker/
DEBIAN_FRONTEND=noninteractive apt-get -q purge -y --auto-remove docker.io
cp -a /root/docker/. /var/lib/docker/
rm -rf /root/docker /run/containerd /run/docker /run/docker.sock
find /var/lib/containerd -mindepth 1 -delete
getent group docker > /dev/null || groupadd --system docker
cat > /etc/systemd/system/docker.service << 'UNIT'
[Unit]
After=network-online.target
[Service]
Type=notify
ExecStart=/usr/local/bin/dockerd
Environment=PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
Delegate=yes
KillMode=process
[Install]
WantedBy=multi-user.target
UNIT
systemctl daemon-reload
systemctl enable -q --now docker.service
"""
# The disks of lab machines are no place for podman's overlays, and what a test starts in a machine is in no cgroup of its.
OTHERS = """
export DEBIAN_FRONTEND=noninteractive
apt-get -q install -y --no-install-recommends podman crun nginx-light nftables iptables
mkdir -p /etc/containers /etc/nginx/conf.d
printf '[storage]\\ndriver = "vfs"\\nrunroot = "/run/containers/storage"\\ngraphroot = "/var/lib/containers/storage"\\n' \\
    > /etc/containers/storage.conf
rm -f /etc/nginx/sites-enabled/default
echo 'server { listen 8091; location / { return 200 "ours"; } }' > /etc/nginx/conf.d/own.conf
systemctl enable -q nginx
systemctl restart nginx
tar -C /root/image -c . | podman import - own:1
systemd-run -q --wait -p KillMode=process podman run -d --name beside own:1 /bin/busybox sleep 100000
nft add table inet own
nft add chain inet own input '{ type filter hook input priority 5; policy accept; }'
nft add rule inet own input tcp dport 4444 drop
iptables -A INPUT -p tcp --dport 4445 -j DROP
useradd --create-home --shell /bin/sh worker
useradd --system --home-dir /srv/etcd --shell /usr/sbin/nologin etcd
mkdir -p /srv/share /srv/etcd /srv/data
echo 'tmpfs /srv/share tmpfs size=1m 0 0' >> /etc/fstab
systemctl daemon-reload
mount /srv/share
echo kept > /srv/share/word
ln -s /srv/data /srv/link
printf 'net.ipv4.conf.all.log_martians = 1\\nnet.ipv4.ip_local_port_range = 33000 60000\\n' > /etc/sysctl.d/50-own.conf
sysctl -q -p /etc/sysctl.d/50-own.conf
echo '* * * * * root true' > /etc/cron.d/own
rm -rf /root/image
"""

# Each is asked before and afterwards, and must be answered alike. Of process ids too: nothing was started again.
QUESTIONS: Mapping[str, str] = {
    "containers of Docker": "docker inspect -f '{{.Id}} {{.State.Pid}} {{.State.Status}} {{.RestartCount}}' $(docker ps -aq)",
    "their volumes": "docker volume ls -q | sort; cat /var/lib/docker/volumes/*/_data/word",
    "their images": "docker images --no-trunc --quiet",
    "what one of them serves": "docker exec web /bin/busybox wget -qO- http://127.0.0.1:8090/word",
    "containers of podman": "podman inspect -f '{{.Id}} {{.State.Pid}} {{.State.Status}}' beside",
    "podman's images": "podman images --no-trunc --quiet",
    "the web server": "curl -fsS http://127.0.0.1:8091/",
    "processes": "pgrep -x dockerd; pgrep -o -x nginx; pgrep -f '[/]run/docker/containerd'",
    "units": "systemctl is-enabled docker.service nginx.service; systemctl is-active docker.service nginx.service",
    "rules": "nft list table inet own; iptables -S INPUT | grep 4445",
    "the mount": "cat /srv/share/word; readlink /srv/link",
    "settings": "sysctl net.ipv4.conf.all.log_martians net.ipv4.ip_local_port_range",
    "modes": "stat -c '%n %a %U:%G' /run/docker.sock /var/lib/docker /var/lib/containers /srv/etcd",
}


def answers(cluster: LabCluster, host: str) -> dict[str, str]:
    """What the machine says to each question now."""
    return {name: cluster.sh(host, script) for name, script in QUESTIONS.items()}
