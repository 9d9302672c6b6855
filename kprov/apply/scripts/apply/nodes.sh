patch_node() { # node, merge patch
    log=$(kubectl patch node "$1" --type=merge -p "$2") || fail "cannot change node $1: $log"
}

do_cordon() { # node: the mark comes with it in one request: what a user cordoned has none, and is never opened by us
    closed=$(kubectl get node "$1" -o 'jsonpath={.spec.unschedulable}') || fail "cannot ask for node $1: $closed"
    [ "$closed" = true ] ||
        patch_node "$1" '{"metadata":{"annotations":{"kprov.io/cordoned":"upgrade"}},"spec":{"unschedulable":true}}'
}

do_uncordon() { # node
    mark=$(kubectl get node "$1" -o 'jsonpath={.metadata.annotations.kprov\.io/cordoned}') ||
        fail "cannot ask for node $1: $mark"
    [ -z "$mark" ] ||
        patch_node "$1" '{"metadata":{"annotations":{"kprov.io/cordoned":null}},"spec":{"unschedulable":null}}'
}

do_drain() { # nodes, seconds, force: which takes pods without a controller too
    limit=$(($(date +%s) + $2)); left=$(words "$1"); force=$3; [ "$force" != - ] || force=
    while [ -n "$left" ]; do
        for node in $left; do
            { kubectl drain "$node" --ignore-daemonsets --delete-emptydir-data ${force:+--force} --timeout=10s \
                > "$stage/drain.$node" && rm -f "$stage/drain.$node"; } 9>&- &
        done
        wait
        pending=$left; left=; log=
        for node in $pending; do
            if [ -e "$stage/drain.$node" ]; then
                left="$left $node"
                log="${log:+$log
}$(grep -m 5 -e 'disruption budget' -e 'use --force' "$stage/drain.$node" || tail -n 10 "$stage/drain.$node")"
            fi
        done
        case $log in *'use --force'*) fail "cannot drain$left: $log" ;; esac
        if [ -n "$left" ] && [ "$(date +%s)" -ge $limit ]; then fail "cannot drain$left within $2 s: $log"; fi
        say wait "$number" # nobody listens any more? Then this ends us, instead of a lock held until the deadline
        [ -z "$left" ] || sleep 1
    done
}

# Each is NODE=TIME: its kubelet has renewed its lease since.
do_heartbeats() { # starts, seconds
    limit=$(($(date +%s) + $2))
    columns='N:.metadata.name,T:.spec.renewTime'
    until log=$(kubectl -n kube-node-lease get leases --no-headers -o "custom-columns=$columns") &&
        log=$(printf '%s\n' "$log" | awk -v asked="$(words "$1")" '{renewed[$1] = $2} END {
            count = split(asked, pair, " ")
            for (i = 1; i <= count; i++) {split(pair[i], part, "=")
                if (!(part[1] in renewed) || renewed[part[1]] <= part[2])
                    print part[1] ": started " part[2] ", last heartbeat " \
                        (part[1] in renewed ? renewed[part[1]] : "never")}}') &&
        [ -z "$log" ]; do
        [ "$(date +%s)" -lt $limit ] || fail "$log"
        say wait "$number"
        sleep 0.3
    done
}
