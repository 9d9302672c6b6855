# Takes a snapshot of this host's etcd member into a file that is fetched and removed afterwards, and tells what is in it.
# It changes nothing else. Lines: `room FREE NEEDED` when the disk is too full, `file SIZE SHA256`, `status JSON`, one
# `count NUMBER KEY` for each beginning of keys; `failed TEXT` with what went wrong.
set -u
export LC_ALL=C PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
umask 077
BIN=/opt/kprov/bin
folder=/var/lib/kprov/snapshot
trap 'rm -rf "$folder"; exit 71' HUP INT TERM PIPE

fail() { # what was tried
    printf 'failed\t%s: %s\n' "$1" "$(tail -n 1 "$folder/error" 2> /dev/null | tr '\t' ' ')"
    rm -rf "$folder"
    exit 0
}

ask() { # etcdctl's arguments
    $BIN/etcdctl --endpoints=https://127.0.0.1:2379 --cacert=/etc/etcd/pki/ca.crt \
        --cert=/etc/etcd/pki/healthcheck-client.crt --key=/etc/etcd/pki/healthcheck-client.key --dial-timeout=10s "$@"
}

main() {
    rm -rf "$folder"
    mkdir -p "$folder" || exit 70
    needed=$(($(stat -c %s /var/lib/etcd/member/snap/db 2> /dev/null || echo 0) + 67108864))
    free=$(df -B1 --output=avail "$folder" | tail -n 1)
    if [ "$free" -lt "$needed" ]; then
        printf 'room\t%s\t%s\n' "$free" "$needed"
        rm -rf "$folder"
        exit 0
    fi
    ask --command-timeout=1500s snapshot save "$folder/db" > /dev/null 2> "$folder/error" || fail 'etcdctl snapshot save'
    status=$($BIN/etcdutl snapshot status "$folder/db" -w json 2> "$folder/error") || fail 'etcdutl snapshot status'
    revision=$(printf %s "$status" | sed -n 's/.*"revision": *\([0-9]*\).*/\1/p')
    # At the very revision of the snapshot, from this member alone: without a quorum it answers too.
    ask --command-timeout=300s get --prefix --keys-only --consistency=s --rev="$revision" /registry/ \
        > "$folder/keys" 2> "$folder/error" || fail 'counting the keys'
    # etcd's own hash of it stands at its end; who gets the file compares.
    printf 'file\t%s\t%s\n' "$(stat -c %s "$folder/db")" "$(tail -c 32 "$folder/db" | od -An -v -tx1 | tr -d ' \n')"
    printf 'status\t%s\n' "$status"
    awk -F / 'NF > 3 {number["/" $2 "/" $3 "/" $4 (NF > 4 ? "/" : "")]++}
        END {for (key in number) print "count\t" number[key] "\t" key}' "$folder/keys"
    rm -f "$folder/keys" "$folder/error"
}

main
