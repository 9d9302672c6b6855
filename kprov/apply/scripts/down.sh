# What components leave behind when they stop, taken away by name: pods' cgroups, namespaces, links, firewall chains.
# Runs inside apply.sh while kprov's binaries are still there. It never flushes a table and never touches a rule, chain,
# link or route that is not Kubernetes' or kprov's own: SSH must not notice.
# Usage: `all`, when the host leaves, or `pods`, when only its pods have ended because their runtime goes.
set -u
export LC_ALL=C PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
STATE=/var/lib/kprov
NETWORKS='kprov|cbr0|k8s-pod-network|cilium' # of CNI: kprov's own, flannel's, calico's, cilium's

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
        # Our pods have ended: one in which something runs is a container's of podman or nerdctl.
        [ -z "$(ip netns pids "${namespace##*/}" 2> /dev/null)" ] || continue
        umount "$namespace" 2> /dev/null || umount -l "$namespace" 2> /dev/null
        rm -f "$namespace"
    done
    rmdir /run/netns 2> /dev/null
    for link in /sys/class/net/cni0/brif/veth*; do [ -e "$link" ] && ip link delete "${link##*/}" 2> /dev/null; done
}

addresses() { # what the CNI plugins remember of pods that are gone: their addresses would never be given out again
    # By name: other programs that use CNI plugins keep theirs beside ours.
    for name in $(printf %s "$NETWORKS|cni-loopback|loopback" | tr '|' ' '); do
        rm -rf --one-file-system "/var/lib/cni/networks/$name"
        rm -f "/var/lib/cni/results/$name"-* "/var/lib/cni/cache/results/$name"-*
    done
    for folder in networks results cache/results cache; do rmdir "/var/lib/cni/$folder" 2> /dev/null; done
}

bridge() { if ip link show cni0 > /dev/null 2>&1; then ip link delete cni0; fi; }

chains() { # iptables or ip6tables; prefixes, | between: jumps into such chains, then the chains
    command -v "$1" > /dev/null 2>&1 || return 0
    for table in mangle nat filter raw; do
        saved=$("$1-save" -t $table 2> /dev/null) || continue
        prefixes=$2 others=$(printf %s "|$2|" | sed 's/|CNI|/|/; s/^|//; s/|$//')
        # Rules of CNI plugins say of which network they are. Where some are another program's, ours go one by one.
        # What CNI's plugin `firewall` lays in the table filter says nothing, and no network of ours has that plugin.
        if [ $table = filter ]; then prefixes=$others
        elif printf '%s\n' "$saved" | grep -o 'name: \\"[^\\]*' | grep -Evqx "name: ..($NETWORKS)"; then
            prefixes=$others
            named "$1" $table "$saved"
        fi
        [ -n "$prefixes" ] || continue
        printf '%s\n' "$saved" | grep -E "^-A [^ ]+ .*-j ($prefixes)-" | grep -Ev "^-A ($prefixes)-" |
            sed 's/^-A /-D /' | while read -r rule; do printf '%s\n' "$rule" | xargs "$1" -t $table; done 2> /dev/null
        names=$(printf '%s\n' "$saved" | sed -n -E "s/^:(($prefixes)-[^ ]+) .*/\1/p")
        for name in $names; do "$1" -t $table -F "$name"; done 2> /dev/null
        for name in $names; do "$1" -t $table -X "$name"; done 2> /dev/null
    done
}

named() { # iptables or ip6tables, table, its rules: those of our networks, by number, and the chains they lead to
    printf '%s\n' "$3" | awk -v ours="name: ..($NETWORKS)[^a-z]" '
        $1 == "-A" {n[$2]++; if ($0 ~ ours) print n[$2], $2, $(NF - 1) == "-j" ? $NF : "-"}' | sort -rn |
        while read -r rule chain target; do
            "$1" -t "$2" -D "$chain" "$rule"
            case $target in CNI-*) "$1" -t "$2" -F "$target"; "$1" -t "$2" -X "$target" ;; esac
        done 2> /dev/null
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

empty_chains() { # those of tables of others that iptables made for our rules, and that were not there before
    [ -f $STATE/before/nft-chains ] && command -v nft > /dev/null 2>&1 || return 0
    nft list chains 2> /dev/null | awk '$1 == "table" {t = $2 " " $3} $1 == "chain" {print t, $2}' |
        grep -E '^ip6? (filter|nat|mangle|raw) (INPUT|FORWARD|OUTPUT|PREROUTING|POSTROUTING)$' |
        grep -vxF -f $STATE/before/nft-chains | while read -r chain; do
            # shellcheck disable=SC2086 # family, table and name
            rules=$(nft list chain $chain | grep -Evc '^table|^[[:space:]]*(chain .*|type .*; policy accept;|}|)$|^}')
            # shellcheck disable=SC2086
            [ "$rules" != 0 ] || nft delete chain $chain
        done 2> /dev/null
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

logs() { # folder, names in it: one that somebody laid on another disk, by a link or a mount, stays there without them
    if [ -L "$1" ] || mountpoint -q "$1"; then find "$1/" -mindepth 1 -maxdepth 1 -name "$2" -exec rm -rf {} + 2> /dev/null
    else rm -rf --one-file-system "$1"; fi
}

left_over() { # what kubelet and runtime make for themselves outside the folders that kprov made for them
    rm -rf --one-file-system /run/flannel
    logs /var/log/pods '*_*_*' # NAMESPACE_POD_UID
    logs /var/log/containers '*.log'
    # A containerd that is not kprov's may listen there by now.
    grep -q ' /\(var/\)\?run/nri/' /proc/net/unix || rm -rf --one-file-system /run/nri
}

watched() { # a command, while the unit that puts host ports back stands still and forgets them: no pod has any more
    resting=
    if systemctl is-active -q kprov-service-rules.service; then systemctl stop kprov-service-rules.service && resting=yes; fi
    "$@"
    rm -f /run/kprov/host-ports*
    [ -z "$resting" ] || systemctl start --no-block kprov-service-rules.service
}

pods
addresses
watched tables 'inet cni_hostport' 'ip cni_hostport' 'ip6 cni_hostport'
case $1 in
pods)
    chains iptables 'CNI|CRIO|KUBE-HP'
    chains ip6tables 'CNI|CRIO|KUBE-HP' ;;
all)
    bridge
    network
    left_over
    chains iptables 'KUBE|CNI|CRIO|KPROV'
    chains ip6tables 'KUBE|CNI|CRIO|KPROV'
    tables 'ip kube-proxy' 'ip6 kube-proxy' 'ip kprov' 'ip6 kprov' 'inet kprov'
    tables 'ip kprov-policies' 'ip6 kprov-policies' 'ip kprov-kubelets' 'ip6 kprov-kubelets'
    empty_tables
    empty_chains ;;
esac
exit 0
