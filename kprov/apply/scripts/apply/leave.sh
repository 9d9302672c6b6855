# Deepest first; what a server or a disk that is gone holds up is let go.
do_unmount() { # path: everything mounted below it
    folder=$(readlink -f "$1") || return 0
    awk -v p="$folder/" 'index($5, p) == 1 {for (i = 7; $i != "-"; i++); print $5, $(i + 1)}' /proc/self/mountinfo |
        sort -r > "$stage/mounts"
    while read -r mount kind; do
        mount=$(printf %b "$mount") # blanks stand there as \040
        case $kind in
        nfs* | cifs | smb3 | ceph | 9p | afs | lustre | fuse*) umount -l "$mount" 2> /dev/null ;;
        *) within 10 umount "$mount" || umount -l "$mount" 2> /dev/null ;;
        esac
    done < "$stage/mounts"
}

# Fails when time is up. What hangs in the kernel cannot be ended: it goes on without our lock.
within() { # seconds, command
    limit=$(($(date +%s) + $1)); shift
    rm -f "$stage/ended"
    { "$@"; echo $? > "$stage/ended.new" && mv "$stage/ended.new" "$stage/ended"; } > /dev/null 2>&1 < /dev/null 9>&- &
    until [ -e "$stage/ended" ]; do
        [ "$(date +%s)" -lt $limit ] || return 1
        sleep 0.05
    done
    return "$(cat "$stage/ended")"
}

do_run() { # payload, argument: a program of kprov's own
    log=$(sh "$stage/payload/$1" "$2" 2>&1 < /dev/null) || fail "$log"
}

do_state_gone() {
    rm -rf $STATE/before $STATE/stamps $STATE/generation $STATE/ledger $STATE/run.lock $STATE/snapshot /run/kprov
    : > "$stage/done"; : > "$stage/gone"
}
