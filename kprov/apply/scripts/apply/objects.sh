kubectl() { # its answer; when it fails, why. What it mutters about an API that another server answers for is neither
    said=$(mktemp "$stage/said.XXXXXX") || return 1
    code=0
    KUBECACHEDIR=/run/kprov/cache KUBECONFIG=$stage/payload/kubeconfig \
        $BIN/kubectl --request-timeout=20s "$@" < /dev/null 2> "$said" || code=$?
    [ $code = 0 ] || grep -v '^E[0-9]* .*memcache\.go' "$said"
    rm -f "$said"
    return $code
}

do_objects() { # payload, again: an expression of what passes
    mkdir -p /run/kprov
    limit=$(($(date +%s) + 60))
    until log=$(kubectl apply --server-side --force-conflicts --field-manager=kprov -f "$stage/payload/$1"); do
        printf %s "$log" | grep -Eqi -e "$2" || fail "$log"
        [ "$(date +%s)" -lt $limit ] || fail "$log"
        sleep 0.5
    done
}

note() { printf 'note\t%s\t%s\n' "$number" "$(printf %s "$1" | base64 -w0)"; } # something that the operator is told

do_registered() { # nodes, seconds: each is Ready, or lacks nothing but a pod network that is not kprov's
    limit=$(($(date +%s) + $2))
    set -- "$(words "$1")"
    until waiting=$(unconnected "$1"); do
        [ "$(date +%s)" -lt $limit ] || fail "$(cat "$stage/nodes")"
        sleep 0.5
    done
    [ -z "$waiting" ] || note "registered, and NotReady until your pod network is there (network: none): $waiting"
}

unconnected() { # nodes, blanks between: prints those without a network; fails while one is unready for another reason
    ready='.status.conditions[?(@.type=="Ready")]'
    # shellcheck disable=SC2086 # words on purpose
    kubectl get nodes $1 --no-headers -o "custom-columns=N:.metadata.name,S:$ready.status,M:$ready.message" \
        > "$stage/nodes" && awk '$2 == "True" {next} /NetworkReady=false/ {printf "%s%s", sep, $1; sep = ", "; next}
            {bad = 1} END {exit bad}' "$stage/nodes"
}

do_first_list() { # payload, again: only where there is none, as what an older one names is not known here
    mkdir -p /run/kprov
    limit=$(($(date +%s) + 60))
    until log=$(kubectl -n kube-system get configmap kprov-inventory -o name); do
        case $log in *NotFound*) break ;; esac
        [ "$(date +%s)" -lt $limit ] || fail "$log"
        sleep 0.5
    done
    case $log in *NotFound*) do_objects "$1" "$2" ;; esac
}

do_delete_objects() { # payload, data: with the least of each, in order; volumes that are not kprov's stay without it
    if [ "$2" = - ]; then
        for space in $(awk '/^kind: Namespace$/ {n = 1} /^---$/ {n = 0} n && $1 == "name:" {print $2}' \
            "$stage/payload/$1"); do
            log=$(kubectl -n "$space" get persistentvolumeclaims -o name) ||
                fail "cannot ask for volumes of $space: $log"
            [ -z "$log" ] || fail "namespace $space holds volumes, which go only with --delete-data: $log"
        done
    fi
    log=$(kubectl delete --ignore-not-found --wait=false -f "$stage/payload/$1") || fail "$log"
}
