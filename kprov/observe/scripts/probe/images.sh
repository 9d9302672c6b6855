images() { # of each store that an image is recorded or asked in
    ! asked store || while read -r store; do
        [ -S "$store" ] || continue
        suffix=" $store"; [ "$store" != /run/containerd/containerd.sock ] || suffix=
        stored "$store" 2>/dev/null < /dev/null | awk -v s="$suffix" '{print "image\t" $1 s "\t" $2}'
    done < "$work/store"
}

stored() { # socket of a store: reference of all it holds, and `loose` where a label would keep kubelet from removing it
    case ${1##*/} in
    docker.sock) curl -fsS --max-time 5 --unix-socket "$1" http://docker/images/json | grep -o '"RepoTags":\[[^]]*\]' |
        sed 's/^"RepoTags"://' | grep -o '"[^"]*"' | tr -d '"' | sed 's/$/ -/' ;;
    crio.sock) $BIN/crictl --runtime-endpoint "unix://$1" --timeout 5s images | awk 'NR > 1 {print $1 ":" $2, "-"}' ;;
    *) $BIN/ctr --address "$1" --connect-timeout 2s -n k8s.io images ls |
        awk 'NR > 1 {print $1, /io\.cri-containerd\.pinned=pinned/ ? "-" : "loose"}' ;;
    esac
}
