do_unmount() { # everything mounted below a path, deepest first
    awk -v p="$1/" 'index($5, p) == 1 {print $5}' /proc/self/mountinfo | sort -r | while read -r mount; do umount "$mount" 2> /dev/null || umount -l "$mount"; done
}

do_run() { # a payload program of kprov's own, and its argument
    log=$(sh "$stage/payload/$1" "$2" 2>&1 < /dev/null) || fail "$log"
}

do_state_gone() { rm -rf $STATE/before $STATE/stamps $STATE/generation $STATE/manifest $STATE/run.lock /run/kprov; : > "$stage/done"; : > "$stage/gone"; }
