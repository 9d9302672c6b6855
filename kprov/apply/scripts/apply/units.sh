do_unstamp() { rm -f "$STATE/stamps/$1"; sync $STATE/stamps; }

do_stamp() { # unit, value
    printf '%s\n' "$2" > "$STATE/stamps/.$1" && sync "$STATE/stamps/.$1" && mv -f "$STATE/stamps/.$1" "$STATE/stamps/$1"
    record unit "$1" -
}

do_reload_units() { # units to enable, blanks between; before the reload: after it, systemd 257 would take all units for outdated
    # shellcheck disable=SC2086 # names of units have no blanks
    if [ -n "$1" ]; then log=$(systemctl enable --no-reload -q $1 2>&1) || fail "cannot enable $1: $log"; fi
    log=$(systemctl daemon-reload 2>&1) || fail "systemctl daemon-reload: $log"
}

do_restart() { # unit
    systemctl reset-failed "$1" 2> /dev/null
    log=$(systemctl restart --no-block "$1" 2>&1) || fail "cannot restart $1: $log"
    restarted="$restarted $1"
}

do_stop() { # unit: until what it needs is there again
    rm -f "$STATE/stamps/$1"
    log=$(systemctl stop "$1" 2>&1) || case $log in *'not loaded'*) ;; *) fail "cannot stop $1: $log" ;; esac
}

do_checkpoint() { write_manifest; } # what was done so far is not done again, whatever happens next

do_remove_unit() { # unit
    systemctl disable -q --now "$1" 2> /dev/null
    systemctl reset-failed -q "$1" 2> /dev/null # one that did not end as it should would stay in systemd's list
    rm -f "$STATE/stamps/$1"
    forget unit "$1"
}
