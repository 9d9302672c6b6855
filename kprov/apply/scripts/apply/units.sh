do_unstamp() { # unit
    printf '%s\n' "$STATE/stamps/$1" >> "$stage/expired"
}

expire() { # stamps of units whose inputs are about to change; not before the new files are complete and checked
    [ -s "$stage/expired" ] || return 0
    xargs -d '\n' rm -f < "$stage/expired"
    sync $STATE/stamps
    : > "$stage/expired"
}

do_stamp() { # unit, value: the file has below it what the unit was asked and answered well
    { printf '%s\n' "$2"; [ ! -e "$stage/passed.$1" ] || cat "$stage/passed.$1"; } > "$STATE/stamps/.$1" &&
        sync "$STATE/stamps/.$1" && mv -f "$STATE/stamps/.$1" "$STATE/stamps/$1"
    record unit "$1" -
}

# Units are enabled before the reload: after it, systemd 257 would take all units for outdated.
do_reload_units() { # enable
    set -- "$(words "$1")"
    # shellcheck disable=SC2086 # names of units have no blanks
    if [ "$1" != - ]; then log=$(systemctl enable --no-reload -q $1 2>&1) || fail "cannot enable $1: $log"; fi
    log=$(systemctl daemon-reload 2>&1) || fail "systemctl daemon-reload: $log"
}

do_restart() { # unit
    [ -z "$keeping" ] || trap '' HUP PIPE # it ends well or goes back, whoever listens
    systemctl reset-failed "$1" 2> /dev/null
    log=$(systemctl restart --no-block "$1" 2>&1) || fail "cannot restart $1: $log"
    restarted="$restarted $1"
}

do_stop() { # unit: until what it needs is there again
    rm -f "$STATE/stamps/$1"
    group=$(group_of "$1")
    log=$(systemctl stop "$1" 2>&1) || case $log in *'not loaded'*) ;; *) fail "cannot stop $1: $log" ;; esac
    kill_rest "$1" "$group"
}

do_kill() { # unit
    systemctl kill -s KILL "$1" 2> /dev/null # what is not loaded, or does not run, needs none
    do_stop "$1"
}

do_checkpoint() { write_ledger; } # : what was done so far is not done again, whatever happens next

do_remove_unit() { # unit
    group=$(group_of "$1")
    systemctl disable -q --now "$1" 2> /dev/null
    kill_rest "$1" "$group"
    systemctl reset-failed -q "$1" 2> /dev/null # one that did not end as it should would stay in systemd's list
    rm -f "$STATE/stamps/$1"
    forget unit "$1"
}

group_of() { # unit: its cgroup, told of one that does not run too
    group=$(systemctl show -p ControlGroup --value "$1" 2> /dev/null)
    printf %s "${group:-/system.slice/$1}"
}

kill_rest() { # unit, its cgroup: what KillMode=process spares, such as shims of containers whose runtime goes, or hangs
    limit=$(($(date +%s) + 60))
    set -- "$1" "/sys/fs/cgroup$2" "/sys/fs/cgroup/systemd$2" "/sys/fs/cgroup/unified$2"
    # 0 is a process of another namespace.
    while rest=$(find "$2" "$3" "$4" -name cgroup.procs -exec cat {} + 2> /dev/null | awk '$1 > 0' | sort -un) &&
        [ -n "$rest" ]; do
        # shellcheck disable=SC2086 # process ids
        kill -KILL $rest 2> /dev/null
        [ "$(date +%s)" -lt $limit ] || fail "processes of $1 do not end: $(printf %s "$rest" | tr '\n' ' ')"
        sleep 0.1
    done
}

# Somebody else's unit of that name, whose file is back. Before is present ENABLED ACTIVE.
do_give_back_unit() { # unit, before
    # shellcheck disable=SC2086 # words on purpose
    set -- "$1" ${2#present }
    case $2 in enabled | enabled-runtime) systemctl enable -q "$1" 2> /dev/null ;; esac
    if [ "$3" = active ]; then
        log=$(systemctl start --no-block "$1" 2>&1) || fail "cannot start $1 again, which ran before kprov came: $log"
    fi
}
