do_nodes_ready() { # nodes, seconds
    limit=$(($(date +%s) + $2)); seen=
    ready='.status.conditions[?(@.type=="Ready")]'
    columns="N:.metadata.name,S:$ready.status,R:$ready.reason,M:$ready.message"
    while :; do
        if log=$(kubectl get nodes --no-headers -o "custom-columns=$columns"); then
            seen=yes; log=$(printf '%s\n' "$log" | unready "$(words "$1")"); [ -n "$log" ] || return 0
        fi
        if [ "$(date +%s)" -ge $limit ]; then [ -z "$seen" ] || tell "$log"; fail "$log"; fi
        say wait "$number"
        sleep 0.5
    done
}

unready() { # nodes, blanks between: of those that are not Ready, name, condition and message
    awk -v asked="$1" '
        {name = $1; status[name] = $2; reason[name] = $3; $1 = $2 = $3 = ""; sub(/^ +/, ""); text[name] = $0}
        END {count = split(asked, node, " "); for (i = 1; i <= count; i++) {name = node[i]
            if (!(name in status)) print name ": there is no Node of that name"
            else if (status[name] != "True") print name ": Ready is " status[name] " (" reason[name] "): " text[name]}}'
}

# The pods that are not ready, and where; below each what it says, and each container that waits: image, reason,
# message.
UNREADY='{{define "waits"}}{{$image := .image}}{{with .state.waiting}}  {{$image}}: {{.reason}}: {{with .message -}}
{{.}}{{end}}
{{end}}{{end}}{{range .items}}pod {{.metadata.name}}{{with .spec.nodeName}} on {{.}}{{end}}
{{range .status.conditions}}{{if and (eq .status "False") (eq .type "Ready" "PodScheduled")}}  {{with .message -}}
{{.}}{{end}}
{{end}}{{end}}{{range .status.initContainerStatuses}}{{template "waits" .}}{{end -}}
{{range .status.containerStatuses}}{{template "waits" .}}{{end}}{{end}}'

unready_pods() { # namespace, labels or nothing
    kubectl -n "$1" get pods ${2:+-l "$2"} -o "go-template=$UNREADY" |
        awk '/^pod / {pod = $0; next} pod != "" {print pod; pod = ""} {print}' | head -n 20
}

do_pod_addresses() { # namespace, label, pods, seconds
    limit=$(($(date +%s) + $4))
    columns='P:.status.phase,N:.spec.nodeName,A:.status.podIP,D:.metadata.deletionTimestamp'
    until log=$(kubectl -n "$1" get pods -l "$2" --no-headers -o "custom-columns=$columns") &&
        log=$(printf '%s\n' "$log" | awk '$1 == "Running" && $3 != "<none>" && $4 == "<none>" {print $2, $3}') &&
        [ "$(printf '%s\n' "$log" | grep -c .)" = "$3" ]; do
        [ "$(date +%s)" -lt $limit ] || fail "$(unready_pods "$1" "$2")"
        say wait "$number"
        sleep 0.3
    done
    tell "$log"
}

# From the network of a pod on this host, which is found by what it was started with, to pods on other nodes.
do_reach() { # port, peers, seconds
    # Those that only look for it are in the host's network, or gone by now.
    pid=$(grep -laF -- "-dns.port=$1" /proc/[0-9]*/cmdline 2> /dev/null | cut -d / -f 3 | while read -r process; do
        network=$(readlink "/proc/$process/ns/net") || continue
        [ "$network" = "$(readlink /proc/self/ns/net)" ] || { echo "$process"; break; }
    done)
    [ -n "$pid" ] || fail "the pod that asks is not there: no process with -dns.port=$1"
    limit=$(($(date +%s) + $3))
    log=$(for peer in $(words "$2"); do
        reaches "$pid" "${peer#*=}" "$1" "$limit" || echo "${peer%%=*} (${peer#*=})" &
    done; wait)
    [ -z "$log" ] || fail "no answer from pods on $(printf %s "$log" | sort | paste -s -d , - | sed 's/,/, /g')
$(filters)"
}

reaches() { # process whose network it is, address, port, until when; a pod that runs may not listen yet
    until connects "$1" "$2" "$3"; do
        [ "$(date +%s)" -lt "$4" ] || return 1
        sleep 0.2
    done
}

connects() { # process whose network it is, address, port
    nsenter -t "$1" -n timeout 4 bash -c 'exec 3<> "/dev/tcp/$0/$1"' "$2" "$3" 2> /dev/null
}

filters() { # tables of a firewall that may drop packets which pass through, or come in
    command -v nft > /dev/null 2>&1 || return 0
    nft -t list ruleset 2> /dev/null | awk '
        $1 == "table" {table = $2 " " $3}
        $1 == "chain" {chain = $2; hook = ""}
        /hook (forward|input) / {
            for (i = 1; i < NF; i++) if ($i == "hook") hook = $(i + 1)
            if (/policy drop/) told("drops what no rule accepts")
        }
        hook != "" && ($NF == "drop" || / reject( |$)/) {$1 = $1; told("has the rule `" $0 "`")}
        function told(what) {
            if (table !~ / (kprov|kube-proxy)$/ && ++count <= 12)
                print "firewall: table " table ", chain " chain " (" hook "): " what
        }'
}

do_delete_pods() { # namespace, label
    kinds=pods,networkpolicies
    log=$(kubectl -n "$1" delete $kinds -l "$2" --ignore-not-found --wait=false --grace-period=0 --force) ||
        fail "cannot delete pods with $2: $log"
}

do_well() { # hosts
    words "$1" | tr ' ' '\n' | sed 's/=/ /' > "$stage/well" && echo >> "$stage/well"
    sync "$stage/well" && mv -f "$stage/well" $STATE/well || fail "cannot write $STATE/well"
}
