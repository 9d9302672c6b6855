do_nodes_initialized() { # addon, seconds: until the cloud's controller has said of every node what machine it is
    limit=$(($(date +%s) + $2))
    taints='{range .items[*]}{.metadata.name}{" "}{.spec.taints[*].key}{"\n"}{end}'
    until left=$(kubectl get nodes -o "jsonpath=$taints") &&
        left=$(printf '%s\n' "$left" | awk '/node\.cloudprovider\.kubernetes\.io\/uninitialized/ {printf " %s", $1}') &&
        [ -z "$left" ]; do
        if [ "$(date +%s)" -ge "$limit" ]; then
            refuse "not taken over by the cloud's controller within $2 s:$left
$(kubectl -n kube-system logs -l kprov.io/cloud-controller --tail=6 --prefix)"
            return
        fi
        say wait "$number"
        sleep 0.5
    done
}

do_namespace_gone() { # name, seconds
    limit=$(($(date +%s) + $2))
    until log=$(kubectl get namespace "$1" --ignore-not-found -o 'jsonpath={.metadata.name}') && [ -z "$log" ]; do
        if [ "$(date +%s)" -ge $limit ]; then
            refuse "namespace $1 is still there: $(kubectl get namespace "$1" \
                -o 'jsonpath={range .status.conditions[?(@.status=="True")]}{.message}{"; "}{end}')"
            return
        fi
        sleep 0.5
    done
}

# Name, phase, namespace and name of the claim, node, path.
VOLUMES='{range .items[*]}{.metadata.name}{"\t"}{.status.phase}{"\t"}{.spec.claimRef.namespace}{"\t"}'
VOLUMES=$VOLUMES'{.spec.claimRef.name}{"\t"}'
VOLUMES=$VOLUMES'{.spec.nodeAffinity.required.nodeSelectorTerms[0].matchExpressions[0].values[0]}{"\t"}'
VOLUMES=$VOLUMES'{.spec.local.path}{.spec.hostPath.path}{"\n"}{end}'

# The folder on hosts is about to go: volumes that are claimed keep it, the others go with it.
do_volumes_gone() { # folder, seconds
    limit=$(($(date +%s) + $2))
    while :; do
        log=$(kubectl get persistentvolumes -o "jsonpath=$VOLUMES") ||
            fail "cannot ask for volumes: $log"
        printf '%s\n' "$log" | awk -F"$T" -v below="$1/" 'index($6, below) == 1' > "$stage/volumes"
        claimed=; leaving=
        while IFS="$T" read -r volume phase space claim node _; do
            [ "$phase" = Bound ] || continue
            # A claim that is gone, or about to be, is given up by its volume in a moment.
            if [ "$(kubectl -n "$space" get persistentvolumeclaim "$claim" --ignore-not-found \
                -o 'jsonpath={.metadata.name}{.metadata.deletionTimestamp}')" = "$claim" ]
            then claimed="$claimed
$volume on node $node, claimed by $space/$claim"
            else leaving=yes; fi
        done < "$stage/volumes"
        [ -z "$claimed" ] || fail "$1 holds volumes that are in use, so nothing of it was removed:$claimed
Delete these claims and run again, or switch the add-on on again."
        [ -n "$leaving" ] || break
        [ "$(date +%s)" -lt "$limit" ] || fail "volumes in $1 were not given up within $2 s: $log"
        say wait "$number"
        sleep 1
    done
    volumes=$(cut -f 1 "$stage/volumes")
    # shellcheck disable=SC2086 # names of volumes have no blanks
    [ -z "$volumes" ] || log=$(kubectl delete persistentvolume --ignore-not-found --wait=false $volumes) || fail "$log"
}

do_delete_object() { # kind, namespace, name
    if [ "$2" = - ]; then log=$(kubectl delete --ignore-not-found --wait=false "$1" "$3")
    else log=$(kubectl delete --ignore-not-found --wait=false -n "$2" "$1" "$3"); fi || fail "cannot delete $1 $3: $log"
}
