lock_holder() {
    # A run holds run.lock for as long as its connection lives; flock tells, the file only says who.
    [ -e $STATE/run.lock ] || return 0
    if ! asked locked && ! flock -n -s $STATE/run.lock true 2>/dev/null; then
        read -r holder < $STATE/run.lock || holder='unknown'
        say fact holder "$holder"
        return 0 # the run that asks will be refused: it need not wait for what the other one is doing
    fi
    # A connection that broke may have left its apply at work: what we see now would be stale in a moment.
    [ -e $STATE/apply.lock ] && { flock -w 60 -s $STATE/apply.lock true 2>/dev/null || say fact applying yes; }
}

generation() { # of the last run that did something here; and which hosts of which generation a control plane saw well
    [ -r $STATE/generation ] && { read -r value < $STATE/generation; say fact generation "$value"; }
    [ -e $STATE/previous/units ] && [ ! -e $STATE/previous/well ] && say fact unconfirmed yes
    [ -r $STATE/well ] && while read -r name value; do say well "$name" "$value"; done < $STATE/well
}

facts() { # unless they are known from a moment ago
    asked facts || return 0
    say fact uid "$uid"
    read -r value < /proc/sys/kernel/hostname && say fact hostname "$value"
    value=''; [ -r /etc/machine-id ] && read -r value < /etc/machine-id; say fact machine_id "$value"
    say fact arch "$(uname -m)"
    read -r value < /proc/sys/kernel/osrelease && say fact kernel "$value"
    [ -r /etc/os-release ] && (
        . /etc/os-release
        say fact os_id "${ID:-}"; say fact os_version "${VERSION_ID:-}"
    )
    systemctl --version 2>/dev/null | { read -r _ value _ && say fact systemd "${value%%[!0-9]*}"; }
    if [ -f /sys/fs/cgroup/cgroup.controllers ]; then say fact cgroup 2; else say fact cgroup 1; fi
    set -- /proc/cpuinfo /proc/meminfo; [ ! -r /proc/swaps ] || set -- "$@" /proc/swaps
    awk '/^processor/ {cpus++} /^MemTotal:/ {memory = $2 * 1024}
        /^MemAvailable:/ {print "fact\tmemory_available\t" $2 * 1024} FILENAME == "/proc/swaps" {swaps++} END {
        print "fact\tcpus\t" cpus + 0; print "fact\tmemory\t" memory; print "fact\tswap\t" (swaps > 1 ? "yes" : "no")}' "$@"
    { ip -o link show; ip -o -4 addr show; ip -4 route get 203.0.113.1; } 2>/dev/null | awk '
        $1 ~ /:$/ && $3 == "inet" {print "address\t" $2 "\t" $4; next}
        $1 ~ /:$/ {mac = ""; for (i = 3; i < NF; i++) {if ($i == "mtu") mtu = $(i + 1); if ($i == "link/ether") mac = " " $(i + 1)}
            sub(/[:@].*/, "", $2); print "link\t" $2 "\t" mtu mac; next}
        !route++ {for (i = 1; i < NF; i++) if ($i == "src") print "fact\tdefault_address\t" $(i + 1)}'
    # Folders with data only where they are mount points of their own: elsewhere they share the disk of /var/lib.
    df -k --output=file,avail,size,target,iavail,itotal /etc /opt /var /var/lib /var/lib/etcd /var/lib/kubelet /var/lib/containerd \
        /var/lib/docker /var/lib/crio 2>/dev/null |
        awk 'NR > 1 && (NR < 6 || $1 == $4) {print "disk\t" $1 "\t" $2 * 1024 " " $3 * 1024 " " $5 " " $6}'
    ss -Hltunp 2>/dev/null | awk '{n = split($5, a, ":"); p = ""; if (match($0, /users:\(\(".*/)) {
        p = substr($0, RSTART + 9); sub(/".*pid=/, " pid ", p); sub(/,.*/, "", p)}
        print ($1 == "udp" ? "udp" : "listener") "\t" a[n] "\t" substr($5, 1, length($5) - length(a[n]) - 1) " " p}'
    for module in overlay br_netfilter nf_conntrack nf_tables ip_tables vxlan; do
        if [ -d /sys/module/$module ]; then say module $module present
        elif [ $module = overlay ] && grep -qw overlay /proc/filesystems; then say module $module present
        elif [ $module = br_netfilter ] && [ -d /proc/sys/net/bridge ]; then say module $module present
        elif [ $module = nf_conntrack ] && [ -d /proc/sys/net/netfilter ]; then say module $module present
        elif [ $module = vxlan ] && gzip -dc /proc/config.gz 2>/dev/null | grep -qx CONFIG_VXLAN=y; then say module $module present
        elif modprobe -n -q $module 2>/dev/null; then say module $module loadable
        fi
    done
    for program in bridge NetworkManager nft iptables conntrack ethtool socat curl wget bash haproxy skopeo conmon zstd gzip tar flock openssl python3 sudo modprobe apt-get dnf zypper; do
        command -v $program > /dev/null 2>&1 && say fact command $program
    done
    command -v nft > /dev/null 2>&1 && nft --version 2>/dev/null | { read -r _ value _ && say fact nft "${value#v}"; }
    if [ -r /sys/fs/selinux/enforce ]; then read -r value < /sys/fs/selinux/enforce; say fact selinux "$value"; fi
    for path in /etc/rancher /var/lib/rancher /etc/k0s /var/lib/k0s /etc/kubernetes/manifests/kube-apiserver.yaml \
        /etc/systemd/system/k3s.service /etc/systemd/system/kubelet.service /usr/lib/systemd/system/kubelet.service \
        /etc/systemd/system/etcd.service /etc/kubernetes/admin.conf /var/lib/etcd/member /etc/kubernetes/kubelet.conf \
        /var/lib/kubelet/config.yaml; do
        [ -e $path ] && say leftover $path -
    done
}
