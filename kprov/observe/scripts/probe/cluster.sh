etcd_members() {
    [ -d /etc/etcd/pki ] || return 0
    [ -d /var/lib/etcd/member/wal ] && say etcd data "$(stat -c %s /var/lib/etcd/member/snap/db 2>/dev/null)"
    grep -q '^ETCD_JOIN=.' /etc/etcd/join.env 2>/dev/null && say etcd joining yes
    [ -x $BIN/etcdctl ] && systemctl is-active -q etcd.service || return 0
    say etcd health "$(plain_text 2381 /health | base64 -w0)"
    value=$(ETCDCTL_API=3 timeout 5 $BIN/etcdctl --endpoints=https://127.0.0.1:2379 --cacert=/etc/etcd/pki/ca.crt \
        --cert=/etc/etcd/pki/healthcheck-client.crt --key=/etc/etcd/pki/healthcheck-client.key \
        --command-timeout=4s member list -w json 2>/dev/null | base64 -w0)
    [ -n "$value" ] && say etcd members "$value"
}

objects() { # the credential arrives in the query and lives in a root-only folder of /run for this moment
    asked objects && IFS="$T" read -r credential selector kinds < "$work/objects" || return 0
    [ -x $BIN/kubectl ] && systemctl is-active -q kube-apiserver.service || return 0
    printf %s "$credential" | base64 -d > "$work/kubeconfig"
    # The list of what kprov made names kinds that only add-ons have. It had the other name once.
    more=$(ask_api -n kube-system get configmap kprov-objects kprov-inventory --ignore-not-found \
        -o 'jsonpath={.items[*].data.kinds}') ||
        { say objects failed "$(tail -c 2000 "$work/error" | base64 -w0)"; return; }
    kinds=$(printf '%s' "$kinds${more:+,$more}" | tr ', ' '\n\n' | sort -u | paste -s -d , -)
    until ask_api get "$kinds" -A -l "$selector" -o json > "$work/found"; do
        # A kind whose definition is gone has no objects.
        unknown=$(sed -n 's/.*have a resource type "\([^"]*\)".*/\1/p' "$work/error" | head -n 1)
        fewer=$(printf '%s' "$kinds" | tr , '\n' | grep -vxF -- "$unknown" | paste -s -d , -)
        if [ -z "$unknown" ] || [ "$fewer" = "$kinds" ]; then
            say objects failed "$(tail -c 2000 "$work/error" | base64 -w0)"; return
        fi
        kinds=$fewer
    done
    say objects found "$(gzip -c "$work/found" | base64 -w0)"
    # Users' own, by namespace: on some networks nothing enforces them. Of add-ons' their pages say so.
    namespaces='jsonpath={range .items[*]}{.metadata.namespace}{"\n"}{end}'
    theirs='app.kubernetes.io/managed-by!=kprov'
    policies=$(ask_api get networkpolicies.networking.k8s.io -A -l "$theirs" -o "$namespaces") && [ -n "$policies" ] &&
        say objects policies "$(printf '%s\n' "$policies" | sort | uniq -c | awk '{print $2, $1}' | base64 -w0)"
    ! asked status || new_pods
    return 0
}

kms() { # what an API server says of the KMS that encrypts for it: its one answer that names it, and is not for everybody
    asked kms && [ -x $BIN/kubectl ] && systemctl is-active -q kube-apiserver.service || return 0
    base64 -d < "$work/kms" > "$work/kubeconfig"
    ask_api get --raw /readyz/kms-providers > /dev/null || say kms failing "$(tail -c 2000 "$work/error" | base64 -w0)"
}

new_pods() { # whether one could be made; a webhook that nobody answers keeps every one away, and nothing else shows it
    ask_api -n default run kprov-probe --image=kprov.local/none --restart=Never --dry-run=server --request-timeout=12s \
        > /dev/null || case $(cat "$work/error") in
        *'failed calling webhook'*) say objects webhook "$(tail -c 600 "$work/error" | base64 -w0)" ;;
        esac
}

ask_api() { HOME=$work KUBECACHEDIR=/run/kprov/cache timeout 30 $BIN/kubectl --kubeconfig "$work/kubeconfig" --request-timeout=5s "$@" 2> "$work/error"; }
