# What components leave behind when they stop, taken away by name: pods' cgroups, namespaces, links, firewall chains.
# Runs inside apply.sh while kprov's binaries are still there. It never flushes a table and never touches a rule, chain,
# link or route that is not Kubernetes' or kprov's own: SSH must not notice.
# Usage: `all`, when the host leaves, or `pods`, when only its pods have ended because their runtime goes.
set -u
export LC_ALL=C PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
STATE=/var/lib/kprov

pods() {
    # Their runtime is gone: nothing would end them in order, and each that ignores SIGTERM would cost 90 s.
    systemctl kill -s KILL kubepods.slice 2> /dev/null
    systemctl stop kubepods.slice 2> /dev/null
    for controller in /sys/fs/cgroup/* /sys/fs/cgroup; do
        for group in "$controller/kubepods.slice" "$controller/kubepods"; do
            [ -d "$group" ] && find "$group" -depth -type d -exec rmdir {} + 2> /dev/null
        done
    done
    for namespace in /run/netns/cni-*; do
        [ -e "$namespace" ] || continue
        umount "$namespace" 2> /dev/null || umount -l "$namespace" 2> /dev/null
        rm -f "$namespace"
    done
    rmdir /run/netns 2> /dev/null
    for link in /sys/class/net/cni0/brif/veth*; do [ -e "$link" ] && ip link delete "${link##*/}" 2> /dev/null; done
}

addresses() { # what the CNI plugins remember of pods that are gone: their addresses would never be given out again
    for folder in networks results cache; do rm -rf --one-file-system "/var/lib/cni/$folder"; done
}

bridge() { if ip link show cni0 > /dev/null 2>&1; then ip link delete cni0; fi; }

chains() { # iptables or ip6tables; prefixes, | between: jumps into such chains, then the chains
    command -v "$1" > /dev/null 2>&1 || return 0
    for table in mangle nat filter raw; do
        saved=$("$1-save" -t $table 2> /dev/null) || continue
        printf '%s\n' "$saved" | grep -E "^-A [^ ]+ .*-j ($2)-" | grep -Ev "^-A ($2)-" |
            sed 's/^-A /-D /' | while read -r rule; do printf '%s\n' "$rule" | xargs "$1" -t $table; done 2> /dev/null
        names=$(printf '%s\n' "$saved" | sed -n -E "s/^:(($2)-[^ ]+) .*/\1/p")
        for name in $names; do "$1" -t $table -F "$name"; done 2> /dev/null
        for name in $names; do "$1" -t $table -X "$name"; done 2> /dev/null
    done
}

tables() { # families and names of nft tables
    command -v nft > /dev/null 2>&1 || return 0
    for name in "$@"; do
        # shellcheck disable=SC2086 # family and name are two words
        nft delete table $name 2> /dev/null
    done
}

empty_tables() { # those that iptables made, and that were not there before
    [ -f $STATE/before/nft-tables ] && command -v nft > /dev/null 2>&1 || return 0
    nft list tables 2> /dev/null | while read -r line; do
        grep -qxF "$line" $STATE/before/nft-tables && continue
        case $line in
        'table ip filter' | 'table ip nat' | 'table ip mangle' | 'table ip raw') ;;
        'table ip6 filter' | 'table ip6 nat' | 'table ip6 mangle' | 'table ip6 raw') ;;
        *) continue ;;
        esac
        # shellcheck disable=SC2086
        if ! nft list ${line} | grep -Evq '^table|^[[:space:]]*(chain .*|type .*|}|)$|^}'; then nft delete ${line}; fi
    done
}

network() { # our tunnel, and what the network of an add-on laid beside our own files, by the names it is known for
    ip link delete kprov-vxlan 2> /dev/null
    mode=; [ ! -r /etc/kprov/network-mode ] || read -r mode _ < /etc/kprov/network-mode
    case $mode in
    flannel) links='flannel.*'; files='/etc/cni/net.d/10-flannel.conflist /opt/cni/bin/flannel' ;;
    calico) links='cali* vxlan.calico wireguard.cali'
        files='/etc/cni/net.d/10-calico.conflist /etc/cni/net.d/calico-kubeconfig'
        files="$files /opt/cni/bin/calico /opt/cni/bin/calico-ipam" ;;
    cilium) links='cilium_*'; files='/etc/cni/net.d/05-cilium.conflist /opt/cni/bin/cilium-cni' ;;
    *) return 0 ;;
    esac
    for pattern in $links; do
        # shellcheck disable=SC2086 # a pattern on purpose
        for link in /sys/class/net/$pattern; do [ -e "$link" ] && ip link delete "${link##*/}" 2> /dev/null; done
    done
    # shellcheck disable=SC2086 # words on purpose
    rm -f $files
}

left_over() { # what kubelet and runtime make for themselves outside the folders that kprov made for them
    rm -rf --one-file-system /var/log/pods /var/log/containers /run/nri /run/flannel
}

pods
tables 'inet cni_hostport' 'ip cni_hostport' 'ip6 cni_hostport'
case $1 in
pods)
    addresses
    chains iptables 'CNI|CRIO|KUBE-HP'
    chains ip6tables 'CNI|CRIO|KUBE-HP' ;;
all)
    bridge
    network
    left_over
    chains iptables 'KUBE|CNI|CRIO|KPROV'
    chains ip6tables 'KUBE|CNI|CRIO|KPROV'
    tables 'ip kube-proxy' 'ip6 kube-proxy' 'ip kprov' 'ip6 kprov' 'inet kprov'
    empty_tables ;;
esac
exit 0
