main() {
    umask 077
    uid=$(id -u)
    if [ "$uid" = 0 ]; then mkdir -p /run/kprov; work=$(mktemp -d /run/kprov/probe.XXXXXX); else work=$(mktemp -d); fi
    [ -n "$work" ] || exit 70
    # A machine that kprov only looked at keeps nothing of it.
    trap 'rm -rf "$work"; [ -e $STATE ] || rmdir /run/kprov 2> /dev/null' EXIT
    trap 'exit 71' HUP INT TERM PIPE
    queries=$work/queries; cat > "$queries"
    records=$work/records; : > "$records"
    for file in ledger manifest; do # its name, and the one that it had before
        [ ! -r $STATE/$file ] || { cat $STATE/$file > "$records"; break; }
    done
    printf 'kprov-probe begin\n'
    sort_out
    clock clock # before any waiting, and once more after it: the middle of both is compared with the operator's
    lock_holder
    generation
    facts
    settings
    files
    contents
    texts
    units
    kernel
    accounts
    reach
    resolve
    knock
    images
    surroundings
    etcd_members
    objects
    kms
    programs
    status
    clock clock_end
    printf 'kprov-probe end\n'
}
