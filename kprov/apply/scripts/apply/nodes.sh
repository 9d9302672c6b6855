# Each is NODE=TIME: its kubelet has renewed its lease since.
do_heartbeats() { # starts, seconds
    limit=$(($(date +%s) + $2)); seen=
    columns='N:.metadata.name,T:.spec.renewTime'
    until log=$(kubectl -n kube-node-lease get leases --no-headers -o "custom-columns=$columns") && seen=yes &&
        log=$(printf '%s\n' "$log" | awk -v asked="$(words "$1")" '{renewed[$1] = $2} END {
            count = split(asked, pair, " ")
            for (i = 1; i <= count; i++) {split(pair[i], part, "=")
                if (!(part[1] in renewed) || renewed[part[1]] <= part[2])
                    print part[1] ": started " part[2] ", last heartbeat " \
                        (part[1] in renewed ? renewed[part[1]] : "never")}}') &&
        [ -z "$log" ]; do
        if [ "$(date +%s)" -ge $limit ]; then [ -z "$seen" ] || tell "$log"; fail "$log"; fi
        say wait "$number"
        sleep 0.3
    done
}
