etcdctl() {
    timeout 20 $BIN/etcdctl --cacert=/etc/etcd/pki/ca.crt --cert=/etc/etcd/pki/healthcheck-client.crt \
        --key=/etc/etcd/pki/healthcheck-client.key --command-timeout=10s --dial-timeout=5s "$@" 2>&1
}

do_quorum() { # endpoints, needed: of the other members, how many must be healthy
    healthy=0
    for endpoint in $(printf %s "$1" | tr , ' '); do
        log=$(etcdctl --endpoints="$endpoint" endpoint health) && healthy=$((healthy + 1))
    done
    [ "$healthy" -ge "$2" ] || fail "only $healthy of the other etcd members are healthy, $2 are needed to keep quorum \
while this one restarts: $log"
}

join_env() { # value of ETCD_JOIN
    printf 'ETCD_JOIN=%s\n' "$1" > "$stage/join.env"
    staged "$stage/join.env" /etc/etcd/join.env root root 0600 && sync /etc/etcd/join.env.kprov-new &&
        mv -f /etc/etcd/join.env.kprov-new /etc/etcd/join.env || fail 'cannot write /etc/etcd/join.env'
}

do_etcd_bootstrap() { # initial cluster, token
    join_env "--initial-cluster=$1 --initial-cluster-state=new --initial-cluster-token=$2"
}

change_members() { # deadline, arguments of etcdctl
    # etcd refuses a change until its members have been connected for five seconds, as one that just came has not.
    limit=$(($(date +%s) + $1))
    shift
    until log=$(etcdctl "$@"); do
        case $log in *'unhealthy cluster'*) ;; *) return 1 ;; esac
        [ "$(date +%s)" -lt $limit ] || return 1
        sleep 0.5
    done
}

do_etcd_join() { # name, peer url, endpoints, seconds: endpoints of live members
    members=$(etcdctl --endpoints="$3" member list) || fail "cannot ask the live etcd members: $members"
    if ! printf %s "$members" | grep -qF ", $2, "; then
        change_members "$4" --endpoints="$3" member add "$1" --learner --peer-urls="$2" ||
            fail "cannot add etcd member $1: $log"
        members=$(etcdctl --endpoints="$3" member list) || fail "cannot ask the live etcd members: $members"
    fi
    initial=$(printf '%s\n' "$members" | awk -F', ' -v n="$1" -v u="$2" '
        {name = ($4 == u) ? n : $3; if (name != "") {printf "%s%s=%s", sep, name, $4; sep = ","}}')
    join_env "--initial-cluster=$initial --initial-cluster-state=existing"
}

do_etcd_promote() { # peer url, endpoints, seconds: endpoints of live members
    id=$(etcdctl --endpoints="$2" member list | awk -F', ' -v u="$1" '$4 == u {print $1}')
    limit=$(($(date +%s) + $3))
    until log=$(etcdctl --endpoints="$2" member promote "$id"); do
        case $log in
        *'in sync with leader'*) ;;
        *'can only promote a learner member'*) return 0 ;; # a voter already: an earlier run was cut off after this step
        esac
        [ "$(date +%s)" -lt $limit ] || fail "the new member did not become a voter: $log"
        sleep 0.5
    done
}

do_etcd_settled() { join_env ''; }

do_etcd_remove() { # member, endpoints, seconds
    change_members "$3" --endpoints="$2" member remove "$1" || fail "cannot remove etcd member $1: $log"
}
