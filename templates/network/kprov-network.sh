#!/bin/sh
# Routes to the other nodes' pods, and masquerade for what pods send out of the cluster.
# Usage: kprov-network keep | check | stop. What is wanted stands in /etc/kprov/network.conf:
#   pods NETWORK    all pods            own NETWORK     this node's pods
#   nat KIND        nftables, iptables  route NETWORK GATEWAY
# Only routes with our protocol number, our table and our chains are ever touched.
set -u
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
SETTINGS=/etc/kprov/network.conf
PROTOCOL=87
UNIT=kprov-network.service

setting() { awk -v name="$1" '$1 == name {print $2}' "$SETTINGS"; }
routes() { awk '$1 == "route" {print $2 " via " $3}' "$SETTINGS" | sort; }
present() { ip -4 route show proto $PROTOCOL | awk '{print $1 " via " $3}' | sort; }

set_routes() {
    failed=0
    present > /run/kprov-network.present || return 1
    routes | grep -vxF -f /run/kprov-network.present | while read -r network _ gateway; do
        ip -4 route replace "$network" via "$gateway" proto $PROTOCOL || exit 1
    done || failed=1
    wanted=" $(routes | awk '{print $1}' | tr '\n' ' ')"
    while read -r network _; do
        case $wanted in
        *" $network "*) ;;
        *) ip -4 route del "$network" proto $PROTOCOL || failed=1 ;;
        esac
    done < /run/kprov-network.present
    rm -f /run/kprov-network.present
    return $failed
}

masquerade_nftables() {
    nft -f - << RULES
table ip kprov
delete table ip kprov
table ip kprov {
    chain postrouting {
        type nat hook postrouting priority srcnat; policy accept;
        ip saddr $OWN ip daddr != $PODS ip daddr != 224.0.0.0/4 masquerade
    }
}
RULES
}

chain() { # table, parent, chain: an empty chain of ours, first in its parent
    iptables -w -t "$1" -N "$3" 2> /dev/null
    iptables -w -t "$1" -F "$3" || return 1
    iptables -w -t "$1" -C "$2" -j "$3" 2> /dev/null || iptables -w -t "$1" -I "$2" 1 -j "$3"
}

masquerade_iptables() {
    chain nat POSTROUTING KPROV-MASQUERADE &&
        iptables -w -t nat -A KPROV-MASQUERADE -d "$PODS" -j RETURN &&
        iptables -w -t nat -A KPROV-MASQUERADE -d 224.0.0.0/4 -j RETURN &&
        iptables -w -t nat -A KPROV-MASQUERADE -s "$OWN" -j MASQUERADE
}

# Other software (Docker) sets the policy of FORWARD to DROP: pods' packets are let through before it applies.
forward() {
    command -v iptables > /dev/null 2>&1 || return 0
    chain filter FORWARD KPROV-FORWARD &&
        iptables -w -A KPROV-FORWARD -s "$PODS" -j ACCEPT &&
        iptables -w -A KPROV-FORWARD -d "$PODS" -j ACCEPT
}

apply() { set_routes && masquerade_"$NAT" && forward; }

rule() { iptables -w -t "$1" -C "$2" $3 > /dev/null 2>&1; } # $3: words on purpose

check() {
    [ "$(routes)" = "$(present)" ] || { echo "routes to the other nodes' pods are missing or stale" >&2; return 1; }
    if [ "$NAT" = nftables ]; then nft list table ip kprov 2> /dev/null | grep -qF "ip saddr $OWN "
    else rule nat POSTROUTING "-j KPROV-MASQUERADE" && rule nat KPROV-MASQUERADE "-s $OWN -j MASQUERADE"
    fi || { echo "the masquerade rule is missing" >&2; return 1; }
    command -v iptables > /dev/null 2>&1 || return 0
    { rule filter FORWARD "-j KPROV-FORWARD" && rule filter KPROV-FORWARD "-d $PODS -j ACCEPT"; } ||
        { echo "the forward rule is missing" >&2; return 1; }
}

keep() { # routes vanish when a link goes down or its owner is restarted: put them back
    until apply; do sleep 1; done
    while sleep 15; do check 2> /dev/null || apply; done
}

drop_chain() { # table, parent, chain
    iptables -w -t "$1" -D "$2" -j "$3" 2> /dev/null
    iptables -w -t "$1" -F "$3" 2> /dev/null
    iptables -w -t "$1" -X "$3" 2> /dev/null
}

stop() {
    # Only a stop that was asked for ends the pod network: after a restart or a crash the next start is a moment away.
    case " $(systemctl list-jobs --no-legend $UNIT 2> /dev/null) " in *" stop "*) ;; *) return 0 ;; esac
    ip -4 route flush proto $PROTOCOL
    nft delete table ip kprov 2> /dev/null
    if command -v iptables > /dev/null 2>&1; then
        drop_chain filter FORWARD KPROV-FORWARD
        drop_chain nat POSTROUTING KPROV-MASQUERADE
    fi
    return 0
}

PODS=$(setting pods)
OWN=$(setting own)
NAT=$(setting nat)
case ${1-} in
keep | check | stop) "$1" ;;
*) echo "usage: $0 keep | check | stop" >&2; exit 2 ;;
esac
