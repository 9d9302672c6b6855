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

do_delete_object() { # kind, namespace, name
    if [ "$2" = - ]; then log=$(kubectl delete --ignore-not-found --wait=false "$1" "$3")
    else log=$(kubectl delete --ignore-not-found --wait=false -n "$2" "$1" "$3"); fi || fail "cannot delete $1 $3: $log"
}
