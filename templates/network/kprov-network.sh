#!/bin/sh
# Routes to the other nodes' pods, through a tunnel or without, and masquerade for what pods send out of the cluster.
# Usage: kprov-network keep | check | stop | reach GATEWAY…. What is desired stands in /etc/kprov/network.conf:
#   pods NETWORK    all pods            own NETWORK     this node's pods
#   nat KIND        nftables, iptables  route NETWORK GATEWAY
#   vxlan VNI PORT NODE-ADDRESS MAC MTU GATEWAY         the tunnel's end on this node, where there is a tunnel
#   peer GATEWAY MAC NODE-ADDRESS                       its end on another node; routes by that gateway lead into it
#   closed PORT,PORT…   what pods must not reach of hosts, nor the cloud's metadata      host ADDRESS    of each host
#   both                                                packets come by the tunnel and beside it, while that changes
# Only routes with our protocol number, our device, our table and our chains are ever touched, and the kernel's switches
# for packets of pods, which other software (a VPN's, libvirt's, a firewall's) switches off again.
set -u
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export LC_ALL=C
SETTINGS=/etc/kprov/network.conf
PROTOCOL=87
DEVICE=kprov-vxlan
BRIDGE=cni0
METADATA=169.254.169.254
UNIT=kprov-network.service
LISTS=/run/kprov-network

setting() { awk -v name="$1" '$1 == name {print $2}' "$SETTINGS"; }
routes() { awk '$1 == "route" {print $2 " via " $3}' "$SETTINGS" | sort; }
gateways() { awk '$1 == "peer" {printf " %s ", $2}' "$SETTINGS"; }
present() { ip -4 route show proto $PROTOCOL | awk '{print $1 " via " $3}' | sort; }

# The tunnel: nothing is learned and nobody is asked, as each peer's addresses are known.
neighbours() { awk '$1 == "peer" {print $2 " " $3}' "$SETTINGS" | sort; }
present_neighbours() { ip -4 neigh show dev $DEVICE nud permanent | awk '{print $1 " " $3}' | sort; }
ends() { awk '$1 == "peer" {print $3 " " $4}' "$SETTINGS" | sort; }
present_ends() { bridge fdb show dev $DEVICE | awk '$2 == "dst" {print $1 " " $3}' | sort; }

tunnel_is_right() {
    shown=$(ip -d -o link show dev $DEVICE 2> /dev/null) || return 1
    case $shown in *" link/ether $MAC "*" vxlan id $VNI local $NODE "*" dstport $PORT nolearning "*) ;; *) return 1 ;; esac
}

tunnel_is_up() {
    case $(ip -o link show dev $DEVICE) in *[\<,]UP[,\>]*" mtu $MTU "*) ;; *) return 1 ;; esac
    ip -4 -o addr show dev $DEVICE | grep -qF " $GATEWAY/32 "
}

set_tunnel() {
    [ -n "$VNI" ] || { remove_tunnel; return 0; }
    if ! tunnel_is_right; then
        remove_tunnel
        ip link add $DEVICE address "$MAC" type vxlan id "$VNI" local "$NODE" dstport "$PORT" nolearning || return 1
        ip link set dev $DEVICE addrgenmode none 2> /dev/null # a kernel without IPv6 knows no such thing
    fi
    tunnel_is_up || { ip link set dev $DEVICE mtu "$MTU" up && ip -4 addr replace "$GATEWAY/32" dev $DEVICE; } || return 1
    set_peers
}

remove_tunnel() { if ip link show dev $DEVICE > /dev/null 2>&1; then ip link delete dev $DEVICE; fi; }

set_peers() {
    failed=0
    present_neighbours > $LISTS.present && present_ends > $LISTS.ends || return 1
    neighbours | grep -vxF -f - $LISTS.present | while read -r gateway _; do ip -4 neigh del "$gateway" dev $DEVICE; done
    ends | grep -vxF -f - $LISTS.ends | while read -r mac node; do bridge fdb del "$mac" dev $DEVICE dst "$node"; done
    ends | grep -vxF -f $LISTS.ends | while read -r mac node; do
        bridge fdb append "$mac" dev $DEVICE dst "$node" self permanent || exit 1
    done || failed=1
    neighbours | grep -vxF -f $LISTS.present | while read -r gateway mac; do
        ip -4 neigh replace "$gateway" lladdr "$mac" dev $DEVICE nud permanent || exit 1
    done || failed=1
    rm -f $LISTS.present $LISTS.ends
    return $failed
}

# Where packets come one way and are answered the other way, a strict filter of return paths would drop them.
FILTERS=/proc/sys/net/ipv4/conf
LOOSE=$LISTS.loose # what is loosened, and how it was

set_filters() {
    if ! grep -qx both "$SETTINGS"; then restore_filters; return 0; fi
    link=$(ip -4 -o addr show to "$NODE/32" | awk '{print $2; exit}')
    for name in $DEVICE $link; do
        [ -e "$FILTERS/$name/rp_filter" ] || continue
        case $(cat $FILTERS/all/rp_filter)$(cat "$FILTERS/$name/rp_filter") in *2* | 00) continue ;; esac
        echo "$name $(cat "$FILTERS/$name/rp_filter")" >> $LOOSE && echo 2 > "$FILTERS/$name/rp_filter" || return 1
    done
}

restore_filters() {
    [ -e $LOOSE ] || return 0
    while read -r name filter; do echo "$filter" > "$FILTERS/$name/rp_filter"; done < $LOOSE 2> /dev/null
    rm -f $LOOSE
}

set_routes() {
    failed=0
    inner=$(gateways)
    present > $LISTS.present || return 1
    routes | grep -vxF -f $LISTS.present | while read -r network _ gateway; do
        case $inner in *" $gateway "*) into="dev $DEVICE onlink" ;; *) into= ;; esac
        # shellcheck disable=SC2086 # no word, or three
        ip -4 route replace "$network" via "$gateway" $into proto $PROTOCOL || exit 1
    done || failed=1
    wanted=" $(routes | awk '{print $1}' | tr '\n' ' ')"
    while read -r network _; do
        case $wanted in
        *" $network "*) ;;
        *) ip -4 route del "$network" proto $PROTOCOL || failed=1 ;;
        esac
    done < $LISTS.present
    rm -f $LISTS.present
    return $failed
}

peers() { awk -v between="$1" '$1 == "peer" {printf "%s%s", sep, $4; sep = between}' "$SETTINGS"; }

guard_nftables() { # what comes through the tunnel's port is unsealed: only nodes may send it
    [ -n "$VNI" ] || return 0
    from=$(peers ', ')
    echo "chain guard { type filter hook input priority filter; udp dport $PORT ${from:+ip saddr != { $from } }drop; }"
}

hosts() { awk -v between="$1" '$1 == "host" {printf "%s%s", sep, $2; sep = between}' "$SETTINGS"; }

close_nftables() { # before pods' packets get their node's address; a drop here is final, whatever others accept
    [ -n "$CLOSED" ] || return 0
    echo "chain out { type filter hook forward priority filter
        iifname $BRIDGE ip daddr $METADATA tcp dport != 53 drop
        iifname $BRIDGE ip daddr { $(hosts ', ') } tcp dport { $CLOSED } drop; }
    $(close_input_nftables)"
}

close_input_nftables() { echo "chain hosts { type filter hook input priority filter; iifname $BRIDGE tcp dport { $CLOSED } drop; }"; }

# Pods are given no address of IPv6, but each link has one of itself, by which they reach the node they are on.
six() { [ -e /proc/net/if_inet6 ]; }

not_by_six() { echo "pods reach this node's ports by IPv6: its kernel takes no rule for that" >&2; }

close_six() {
    six || return 0
    nft -f - << RULES
table ip6 kprov
delete table ip6 kprov
table ip6 kprov {
    ${CLOSED:+$(close_input_nftables)}
}
RULES
}

rules_nftables() {
    close_six || not_by_six
    nft -f - << RULES
table ip kprov
delete table ip kprov
table ip kprov {
    chain postrouting {
        type nat hook postrouting priority srcnat; policy accept;
        ip saddr $OWN ip daddr != $PODS ip daddr != 224.0.0.0/4 masquerade
    }
    $(guard_nftables)
    $(close_nftables)
}
RULES
}

iptables=iptables # or ip6tables

chain() { # table, parent, chain: an empty chain of ours, first in its parent
    $iptables -w -t "$1" -N "$3" 2> /dev/null
    $iptables -w -t "$1" -F "$3" || return 1
    $iptables -w -t "$1" -C "$2" -j "$3" 2> /dev/null || $iptables -w -t "$1" -I "$2" 1 -j "$3"
}

rules_iptables() {
    chain nat POSTROUTING KPROV-MASQUERADE &&
        iptables -w -t nat -A KPROV-MASQUERADE -d "$PODS" -j RETURN &&
        iptables -w -t nat -A KPROV-MASQUERADE -d 224.0.0.0/4 -j RETURN &&
        iptables -w -t nat -A KPROV-MASQUERADE -s "$OWN" -j MASQUERADE &&
        guard_iptables && close_iptables
}

close_iptables() { # of their own node here, of others in KPROV-FORWARD
    close_input || return 1
    if six; then iptables=ip6tables; close_input || not_by_six; iptables=iptables; fi
}

close_input() {
    [ -n "$CLOSED" ] || { drop_chain filter INPUT KPROV-HOSTS; return 0; }
    chain filter INPUT KPROV-HOSTS &&
        $iptables -w -A KPROV-HOSTS -i $BRIDGE -p tcp -m multiport --dports "$CLOSED" -j DROP
}

open_input() { # also by IPv6, which only this chain is of
    drop_chain filter INPUT KPROV-HOSTS
    iptables=ip6tables; drop_chain filter INPUT KPROV-HOSTS; iptables=iptables
}

close_forward() {
    [ -n "$CLOSED" ] && [ "$NAT" = iptables ] || return 0
    iptables -w -A KPROV-FORWARD -i $BRIDGE -d $METADATA -p tcp ! --dport 53 -j DROP || return 1
    for host in $(hosts ' '); do
        iptables -w -A KPROV-FORWARD -i $BRIDGE -d "$host" -p tcp -m multiport --dports "$CLOSED" -j DROP || return 1
    done
}

guard_iptables() {
    [ -n "$VNI" ] || { drop_chain filter INPUT KPROV-VXLAN; return 0; }
    # The port is opened to nobody while the list is being written, for a moment.
    chain filter INPUT KPROV-VXLAN || return 1
    for node in $(peers ' '); do
        iptables -w -A KPROV-VXLAN -p udp --dport "$PORT" -s "$node" -j RETURN || return 1
    done
    iptables -w -A KPROV-VXLAN -p udp --dport "$PORT" -j DROP
}

# Other software (Docker) sets the policy of FORWARD to DROP: pods' packets are let through before it applies.
forward() {
    command -v iptables > /dev/null 2>&1 || return 0
    chain filter FORWARD KPROV-FORWARD && close_forward &&
        iptables -w -A KPROV-FORWARD -s "$PODS" -j ACCEPT &&
        iptables -w -A KPROV-FORWARD -d "$PODS" -j ACCEPT
}

drop_other() { # what we wrote while kube-proxy's mode was another one
    case $NAT in
    nftables) drop_chain nat POSTROUTING KPROV-MASQUERADE; drop_chain filter INPUT KPROV-VXLAN; open_input ;;
    iptables) nft delete table ip kprov 2> /dev/null; nft delete table ip6 kprov 2> /dev/null ;;
    esac
    return 0
}

# A node that does not forward cuts its pods off from all others; packets of one bridge that pass no rules miss Services.
SWITCHES='/proc/sys/net/ipv4/ip_forward /proc/sys/net/bridge/bridge-nf-call-iptables'

switched_off() { for path in $SWITCHES; do [ ! -e "$path" ] || [ "$(cat "$path")" != 0 ] || echo "$path"; done; }

set_switches() {
    for path in $(switched_off); do
        echo "something wrote 0 to $path: pods need 1" >&2
        echo 1 > "$path" || return 1
    done
}

apply() { set_switches && set_tunnel && set_filters && set_routes && rules_"$NAT" && forward && drop_other; }

rule() { iptables -w -t "$1" -C "$2" $3 > /dev/null 2>&1; } # $3: words on purpose

check() {
    [ -z "$(switched_off)" ] || { echo "the kernel does not forward packets of pods: 0 in $(switched_off)" >&2; return 1; }
    check_tunnel || return 1
    [ "$(routes)" = "$(present)" ] || { echo "routes to the other nodes' pods are missing or stale" >&2; return 1; }
    if [ "$NAT" = nftables ]; then nft list table ip kprov 2> /dev/null | grep -qF "ip saddr $OWN "
    else rule nat POSTROUTING "-j KPROV-MASQUERADE" && rule nat KPROV-MASQUERADE "-s $OWN -j MASQUERADE"
    fi || { echo "the masquerade rule is missing" >&2; return 1; }
    [ -z "$CLOSED" ] || [ "$NAT" = nftables ] || rule filter INPUT "-j KPROV-HOSTS" ||
        { echo "the rule that keeps pods from hosts' ports is missing" >&2; return 1; }
    command -v iptables > /dev/null 2>&1 || return 0
    { rule filter FORWARD "-j KPROV-FORWARD" && rule filter KPROV-FORWARD "-d $PODS -j ACCEPT"; } ||
        { echo "the forward rule is missing" >&2; return 1; }
}

check_tunnel() {
    if [ -z "$VNI" ]; then
        if ip link show dev $DEVICE > /dev/null 2>&1; then echo "$DEVICE is there and not wanted" >&2; return 1; fi
        return 0
    fi
    { tunnel_is_right && tunnel_is_up; } || { echo "$DEVICE is missing, down or not as it should be" >&2; return 1; }
    { [ "$(neighbours)" = "$(present_neighbours)" ] && [ "$(ends)" = "$(present_ends)" ]; } ||
        { echo "the tunnel's peers are missing or stale" >&2; return 1; }
    if [ "$NAT" = nftables ]; then nft list chain ip kprov guard 2> /dev/null | grep -qF "udp dport $PORT "
    else rule filter INPUT "-j KPROV-VXLAN" && rule filter KPROV-VXLAN "-p udp --dport $PORT -j DROP"
    fi || { echo "the rule that keeps strangers out of the tunnel is missing" >&2; return 1; }
}

keep() { # routes vanish when a link goes down or its owner is restarted: put them back
    # A NetworkManager that runs reads only now that our interfaces are not its own.
    if systemctl is-active -q NetworkManager.service; then systemctl reload NetworkManager.service; fi
    until apply; do sleep 1; done
    while sleep 15; do check 2> /dev/null || apply; done
}

drop_chain() { # table, parent, chain
    command -v $iptables > /dev/null 2>&1 || return 0
    $iptables -w -t "$1" -D "$2" -j "$3" 2> /dev/null
    $iptables -w -t "$1" -F "$3" 2> /dev/null
    $iptables -w -t "$1" -X "$3" 2> /dev/null
}

stop() {
    # Only a stop that was asked for ends the pod network: after a restart or a crash the next start is a moment away.
    case " $(systemctl list-jobs --no-legend $UNIT 2> /dev/null) " in *" stop "*) ;; *) return 0 ;; esac
    ip -4 route flush proto $PROTOCOL
    restore_filters
    remove_tunnel
    nft delete table ip kprov 2> /dev/null
    nft delete table ip6 kprov 2> /dev/null
    drop_chain filter FORWARD KPROV-FORWARD
    drop_chain filter INPUT KPROV-VXLAN
    open_input
    drop_chain nat POSTROUTING KPROV-MASQUERADE
    return 0
}

answers() { # gateway: something comes back through the tunnel; a refusal is an answer too
    said=$(timeout 5 bash -c 'exec 3<> "/dev/tcp/$0/10256"' "$1" 2>&1) && return 0
    case $said in *refused*) return 0 ;; esac
    node=$(awk -v gateway="$1" '$1 == "peer" && $2 == gateway {print $4}' "$SETTINGS")
    echo "no answer through the tunnel from ${node:-this node} ($1): is UDP port $PORT open between the nodes, both ways?"
    return 1
}

reach() { # gateways of nodes: all are asked at the same time
    [ -n "$VNI" ] || return 0
    left=$(for gateway in "$@"; do answers "$gateway" & done; wait)
    [ -z "$left" ] || { echo "$left" >&2; return 1; }
}

PODS=$(setting pods)
OWN=$(setting own)
NAT=$(setting nat)
CLOSED=$(setting closed)
read -r VNI PORT NODE MAC MTU GATEWAY << TUNNEL
$(sed -n 's/^vxlan //p' "$SETTINGS")
TUNNEL
command=${1-}
[ $# = 0 ] || shift
case $command in
keep | check | stop | reach) "$command" "$@" ;;
*) echo "usage: $0 keep | check | stop | reach GATEWAY…" >&2; exit 2 ;;
esac
