# Only what cri-dockerd made has this label ({"label":["io.kubernetes.docker.type"]}).
PODS='/containers/json?all=1&filters=%7B%22label%22%3A%5B%22io.kubernetes.docker.type%22%5D%7D'

container_ids() { # path of Docker's API
    docker GET "$1" 2> /dev/null | grep -o '"Id":"[0-9a-f]*"' | cut -d'"' -f4
}

do_alone() { # store: names what in it is somebody else's, as of a Docker that took kprov's containerd for its own
    store=$1
    [ -S "$store" ] || return 0
    case ${store##*/} in
    docker.sock)
        container_ids "$PODS" > "$stage/pods"
        others=$(container_ids '/containers/json?all=1' | grep -vxF -f "$stage/pods" | cut -c 1-12 | tr '\n' ' ')
        [ -z "$others" ] || others="containers $others"
        volumes=$(docker GET /volumes 2> /dev/null | grep -o '"Name":"[^"]*"' | cut -d'"' -f4 | tr '\n' ' ')
        [ -z "$volumes" ] || others="${others}volumes $volumes" ;;
    crio.sock) return 0 ;; # podman does not see its containers, nor it podman's
    *)
        others=
        for space in $($BIN/ctr --address "$store" --connect-timeout 2s namespaces ls -q 2> /dev/null | grep -vx k8s.io)
        do
            for kind in containers images; do
                count=$($BIN/ctr --address "$store" --connect-timeout 2s -n "$space" $kind ls -q 2> /dev/null | wc -l)
                [ "$count" = 0 ] || others="$others$count $kind in the namespace $space; "
            done
        done ;;
    esac
    others=${others% }
    [ -z "$others" ] || fail "this runtime also holds what Kubernetes does not run: ${others%;}
It would be lost with the runtime's data, so nothing was touched. Save or remove it with the program that made it
(docker, nerdctl, or ctr -n NAMESPACE), then run the same command again."
}

do_sandboxes() { # store: the socket of a runtime's; take down all its pods, before it goes
    store=$1
    [ -S "$store" ] || return 0
    case ${store##*/} in
    docker.sock)
        for id in $(container_ids "$PODS"); do
            docker DELETE "/containers/$id?force=1&v=1" > /dev/null 2>&1
        done
        return 0 ;;
    crio.sock) crictl rmp -a -f > /dev/null 2>&1; return 0 ;;
    esac
    for id in $(ctr tasks ls -q 2> /dev/null); do ctr tasks kill -s KILL "$id" > /dev/null 2>&1; done
    sleep 0.3
    for id in $(ctr tasks ls -q 2> /dev/null); do ctr tasks delete -f "$id" > /dev/null 2>&1; done
    for id in $(ctr containers ls -q 2> /dev/null); do ctr containers delete "$id" > /dev/null 2>&1; done
}

# What a program that was stopped left in /run. A socket on which somebody still listens is not its own: shims of every
# containerd, Docker's too, have theirs in /run/containerd/s.
do_clear() { # path
    awk '$4 == "00010000" && $8 ~ /^\// {sub(/^\/var\/run\//, "/run/", $8); print $8}' /proc/net/unix \
        > "$stage/listening"
    find "$1" -xdev ! -type d 2> /dev/null | grep -vxF -f "$stage/listening" | xargs -r -d '\n' rm -f
    find "$1" -xdev -depth -type d -empty -delete 2> /dev/null
    return 0
}

do_drop_table() { # family, name: of an nft table that a runtime made
    command -v nft > /dev/null 2>&1 && nft list table "$1" "$2" > /dev/null 2>&1 || return 0
    log=$(nft delete table "$1" "$2" 2>&1) || fail "cannot delete the nft table $1 $2: $log"
}
