do_etcd_flags() { # flags: what etcd is started with beside its unit's own
    flags=$1; [ "$flags" != - ] || flags=
    printf 'ETCD_JOIN=%s\n' "$flags" > "$stage/join.env"
    staged "$stage/join.env" /etc/etcd/join.env root root 0600 && sync /etc/etcd/join.env.kprov-new &&
        mv -f /etc/etcd/join.env.kprov-new /etc/etcd/join.env || fail 'cannot write /etc/etcd/join.env'
}

# The new data is complete before the old is touched, and takes its place by renaming. Data that is there beside what
# was set aside under this token was made by an earlier try of the same restore.
do_restore_snapshot() { # payload, name, url, initial, token, bump
    data=/var/lib/etcd; made=$data/restored; size=$(stat -c %s "$stage/payload/$1")
    rm -rf $made
    free=$(df -B1 --output=avail $data | tail -n 1)
    [ "$free" -gt $((size + 67108864)) ] ||
        fail "too little room in $data: $((free >> 20)) MiB free, needed are $(((size >> 20) + 65)) MiB"
    log=$($BIN/etcdutl snapshot restore "$stage/payload/$1" --data-dir $made --name "$2" \
        --initial-advertise-peer-urls "$3" --initial-cluster "$4" --initial-cluster-token "$5" \
        --bump-revision "$6" --mark-compacted 2>&1) || { rm -rf $made; fail "$log"; }
    chown -R etcd:etcd $made && sync $made/member/snap/db || fail "cannot give $made to etcd"
    set_aside "$5"
    mv $made/member $data/member && rmdir $made && sync $data || fail "cannot move the new data to $data/member"
}

set_aside() { # token
    aside=/var/lib/etcd/before-$1
    if [ -e "$aside" ]; then rm -rf /var/lib/etcd/member
    elif [ -e /var/lib/etcd/member ]; then
        mv /var/lib/etcd/member "$aside" && sync /var/lib/etcd || fail "cannot keep /var/lib/etcd/member"
    fi
}

do_set_data_aside() { # : what a later join finds is its own
    do_stop etcd.service
    set_aside "$(date +%Y%m%dT%H%M%SZ)"
}
