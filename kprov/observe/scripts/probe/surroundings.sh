surroundings() { # of a host of a cluster: what can undo kprov's work though every file and unit of its is in order
    asked facts && [ -e /etc/kprov/network-mode ] || return 0
    say surroundings asked yes
    if command -v nft > /dev/null 2>&1; then nft list tables 2>/dev/null | while read -r _ value; do say table "$value" -; done; fi
    if [ -r /var/lib/kube-proxy/config.yaml ]; then
        while read -r value; do
            # Flushed chains are still there: it is rules that count.
            [ "$value" = 'mode: iptables' ] && iptables -w -t nat -S KUBE-SERVICES 2> /dev/null | grep -q '^-A' && say table 'iptables KUBE-SERVICES' -
        done < /var/lib/kube-proxy/config.yaml
    fi
    for value in net/ipv4/ip_forward net/bridge/bridge-nf-call-iptables; do
        [ -r /proc/sys/$value ] || continue
        read -r state < /proc/sys/$value # fails, as the kernel gives a parameter in one read: its first digit is there
        [ "$state" != 0 ] || say off $value -
    done
    for path in /etc/kprov/cni/net.d/* /etc/cni/net.d/*; do [ -f "$path" ] && say cni "$path" -; done
    [ -r /etc/kprov/network.conf ] || return 0
    # What the kernel answers for the first pod of each peer: asked by the host itself, and by one of its pods.
    pods=; [ ! -e /sys/class/net/cni0 ] || pods=yes
    awk -v pods=$pods -v batch="$work/batch" '
        function first(network,   part, byte) {split(network, part, "/"); split(part[1], byte, "."); return byte[1] "." byte[2] "." byte[3] "." byte[4] + 2}
        $1 == "own" {own = first($2)}
        $1 == "route" {print first($2), $2, $3; to[++peers] = first($2)}
        END {for (i = 1; i <= peers; i++) {print "route get " to[i] > batch; if (pods) print "route get " to[i] " from " own " iif cni0" > batch}}
    ' /etc/kprov/network.conf > "$work/peers"
    asked batch || return 0
    ip -4 -force -batch "$work/batch" 2> /dev/null | awk -v pods=$pods '
        FILENAME == ARGV[1] {network[$1] = $2; gateway[$1] = $3; order[++peers] = $1; next}
        {to = ($1 in network) ? $1 : $2; if (!(to in network)) next; if ($0 ~ / from /) bypod[to] = $0; else byhost[to] = $0}
        END {for (i = 1; i <= peers; i++) {to = order[i]
            print "peer\t" network[to] "\t" gateway[to] "\t" byhost[to] "\t" (pods ? bypod[to] : "?")}}' "$work/peers" -
}
