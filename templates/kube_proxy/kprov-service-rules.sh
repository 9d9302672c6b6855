#!/bin/sh
# Puts back what something flushed (`nft flush ruleset`, `iptables -t nat -F`, a restart of nftables.service): kube-proxy would
# miss its rules for up to an hour, and host ports of pods are written only once, when a pod starts.
# Usage: kprov-service-rules nftables | iptables     where kube-proxy keeps its rules
# It only ever restarts kube-proxy and loads the host ports again as they last were. It decides nothing about rules.
set -u
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export LC_ALL=C
HOST_PORTS=/run/kprov/host-ports # the table of host ports as it last was
AGAIN=20 # seconds that kube-proxy gets to write rules, and twice as long after each restart that brought none: without an
LAST=640 # API server there are none yet, and on a slow machine it would be ended again and again before it writes any

present() {
    case $1 in
    nftables) nft -t list chain ip kube-proxy services 2> /dev/null | grep -q ' vmap ' ;;
    iptables) holds KUBE-SERVICES '' && holds PREROUTING KUBE-SERVICES && holds OUTPUT KUBE-SERVICES ;;
    esac
}

# A flush leaves the chains that kube-proxy made there, and empty: it looks for their names alone, and sees nothing.
holds() { iptables -w -t nat -S "$1" 2> /dev/null | grep -q "^-A .*$2"; } # chain, what one of its rules names

look() { # where the rules are
    if present "$1"; then seen=yes; patience=$AGAIN
    elif [ -n "$seen" ]; then
        again "the rules of kube-proxy ($1) are gone: something flushed the firewall; kube-proxy writes them again"
    elif [ "$waited" -ge "$patience" ]; then
        again "kube-proxy has written no rules ($1) for $waited s; it is started again"
    fi
    host_ports
}

again() { # why
    if systemctl is-active -q kube-proxy.service; then
        echo "$1" >&2
        systemctl restart --no-block kube-proxy.service
        [ -n "$seen" ] || [ $patience -ge $LAST ] || patience=$((patience * 2))
    fi
    seen=; waited=0
}

host_ports() { # of portmap, in a table of its own, which never goes by itself
    command -v nft > /dev/null 2>&1 || return 0
    if nft list table ip cni_hostport > $HOST_PORTS.new 2> /dev/null; then mv -f $HOST_PORTS.new $HOST_PORTS
    elif [ -s $HOST_PORTS ]; then
        echo 'the host ports of pods are gone: they are loaded again as they last were' >&2
        nft -f $HOST_PORTS
    fi
    rm -f $HOST_PORTS.new
}

mkdir -p ${HOST_PORTS%/*}
seen=; waited=0; patience=$AGAIN
while :; do
    look "$1"
    sleep 10
    waited=$((waited + 10))
done
