do_etcd_flags() { # flags: what etcd is started with beside its unit's own
    flags=$1; [ "$flags" != - ] || flags=
    printf 'ETCD_JOIN=%s\n' "$flags" > "$stage/join.env"
    staged "$stage/join.env" /etc/etcd/join.env root root 0600 && sync /etc/etcd/join.env.kprov-new &&
        mv -f /etc/etcd/join.env.kprov-new /etc/etcd/join.env || fail 'cannot write /etc/etcd/join.env'
}
