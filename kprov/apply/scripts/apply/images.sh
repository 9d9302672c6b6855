stored() { # name of an image: its reference, and the socket of its store unless that is containerd's
    reference=${1%% *}; store=/run/containerd/containerd.sock
    case $1 in *' '*) store=${1#* } ;; esac
}

# How a store is spoken to tells the name of its socket: containerd's own client, Docker's API, or what reads and writes
# CRI-O's store.
ctr() { $BIN/ctr --address "$store" --connect-timeout 2s -n k8s.io "$@"; }
docker() { curl -fsS --connect-timeout 2 --unix-socket "$store" -X "$1" "http://docker$2"; } # method, path
crictl() { $BIN/crictl --runtime-endpoint "unix://$store" --timeout 10s "$@"; }

import() { # tar of an OCI layout
    case ${store##*/} in
    docker.sock)
        answer=$(curl -sS --unix-socket "$store" -H 'Content-Type: application/x-tar' -T "$1" -X POST \
            http://docker/images/load 2>&1)
        case $answer in *'Loaded image'*) ;; *) printf '%s\n' "$answer"; return 1 ;; esac ;;
    crio.sock)
        CONTAINERS_STORAGE_CONF=/etc/crio/storage.conf skopeo --policy /etc/crio/policy.json copy -q "oci-archive:$1" \
            "containers-storage:$reference" ;;
    *) ctr images import --local "$1" || ctr images import "$1" ;;
    esac
}

do_image() { # name, source, encoding, sha256: of the tar
    obtain "$2" "$4"
    log=$(unpack "$source" "$3" - "$stage/image.tar" 2>&1) || fail "cannot unpack image $1: $log"
    rm -f "$source"
    sha256 "$stage/image.tar"
    [ "$found" = "$4" ] || fail "image $1 arrived with sha256 $found, needed $4: nothing was imported"
    stored "$1"
    # What unpacks an image here makes the root of its layers: its containers' users have to get in.
    log=$(umask 022; import "$stage/image.tar" 2>&1) || fail "cannot import image $1: $log"
    rm -f "$stage/image.tar"
    pin "$1"
    record image "$1" "$4"
}

do_pin_image() { # name
    stored "$1"
    pin "$1"
}

# Kubelet removes images that no container uses when the disk gets full, and these cannot be pulled again. CRI-O is told
# by its configuration; cri-dockerd cannot be told.
pin() { # name, whose store is known
    case ${store##*/} in docker.sock | crio.sock) return 0 ;; esac
    log=$(ctr images label "$reference" io.cri-containerd.pinned=pinned 2>&1) || fail "cannot pin image $1: $log"
}

do_remove_image() { # name
    stored "$1"
    if [ -S "$store" ]; then
        case ${store##*/} in
        docker.sock) docker DELETE "/images/$reference?force=true" ;;
        crio.sock) crictl rmi "$reference" ;;
        *) ctr images rm "$reference" ;;
        esac > /dev/null 2>&1
    fi
    forget image "$1"
}
