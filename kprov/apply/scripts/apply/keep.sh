# What a host had before a change that has not been seen well yet: each file's previous version, and how units were.
# It stays until every one of these units has its stamp again. An exec that fails before gives it back at once, by
# itself: whoever sent it may be gone, or cut off by the very change.
KEPT=$STATE/previous
keeping=

do_keep() { # units: those whose stamps go
    log=$(mkdir -p $KEPT/root $KEPT/stamps && touch $KEPT/files $KEPT/units 2>&1) || fail "cannot write $KEPT: $log"
    keeping=yes
    held=" $(cut -d ' ' -f 1 $KEPT/units | tr '\n' ' ')"; new=
    for unit in $(words "$1"); do
        case $held in *" $unit "*) continue ;; esac # what an earlier exec kept was seen well, what is there now was not
        new="$new $unit"
        [ ! -e "$STATE/stamps/$unit" ] || cp -p "$STATE/stamps/$unit" "$KEPT/stamps/$unit" || fail "cannot write $KEPT"
    done
    # shellcheck disable=SC2086 # names of units have no blanks
    [ -z "$new" ] || how_they_are $new >> $KEPT/units
}

how_they_are() { # units: of each its name, whether it runs, whether it is enabled, which start of it this is
    systemctl show -p Id,LoadState,ActiveState,SubState,UnitFileState,InvocationID "$@" | awk -F= '
        function put(   state) {
            if (v["Id"] == "") return
            state = v["ActiveState"] ~ /^(active|reloading)$/ ? "runs" : "rests"
            if (v["ActiveState"] == "activating" && v["SubState"] !~ /^auto-restart/) state = "runs"
            if (v["LoadState"] != "loaded" && state == "rests") state = "absent"
            print v["Id"], state, v["UnitFileState"] == "" ? "-" : v["UnitFileState"], \
                v["InvocationID"] == "" ? "-" : v["InvocationID"]
            split("", v)
        }
        $1 == "" {put(); next} {v[$1] = $2} END {put()}'
}

keep_files() { # what the pending files are about to replace
    [ -n "$keeping" ] || return 0
    awk -F"$T" -v OFS="$T" '
        FILENAME == ARGV[1] {if ($1 != "mode") held[$2]; next}
        FILENAME == ARGV[2] {if ($1 == "file" || $1 == "binary") value[$2] = $3; next}
        {path = $2 "/" $3} !(path in held) {print $5, path, path in value ? value[path] : "-"}' \
        $KEPT/files $STATE/ledger "$stage/pending" > "$stage/keep"
    keep_these
}

keep_file() { # kind, path: what is about to be removed
    [ -n "$keeping" ] || return 0
    printf '%s\t%s\t-\n' "$1" "$2" |
        awk -F"$T" 'FILENAME == ARGV[1] {if ($1 != "mode") held[$2]; next} !($2 in held)' $KEPT/files - > "$stage/keep"
    keep_these
}

keep_these() { # $stage/keep: kind, path, recorded value. A second name costs no room, where the disk is the same
    : > "$stage/paths"; : > "$stage/rows"
    while IFS="$T" read -r kind path value; do
        was=absent
        if [ -f "$path" ] || [ -L "$path" ]; then was=there; printf '%s\n' "$path" >> "$stage/paths"; fi
        printf '%s\t%s\t%s\t%s\n' "$kind" "$path" "$value" $was >> "$stage/rows"
    done < "$stage/keep"
    if [ -s "$stage/paths" ] && ! xargs -d '\n' cp -al --parents -t $KEPT/root < "$stage/paths" 2> /dev/null; then
        log=$(xargs -d '\n' cp -a --remove-destination --parents -t $KEPT/root < "$stage/paths" 2>&1) ||
            fail "cannot keep what is there before it changes: $log"
    fi
    [ ! -s "$stage/rows" ] || { cat "$stage/rows" >> $KEPT/files && sync $KEPT/files; } || fail "cannot write $KEPT"
}

keep_mode() { # path: whose owner and mode are about to change; its kept version is the same file, and changes with it
    [ -z "$keeping" ] || printf 'mode\t%s\t%s\tthere\n' "$1" "$(stat -c '%U:%G %a' "$1")" >> $KEPT/files
}

seen_well() { # at the end of an exec: is there a unit left that has not been?
    [ -n "$keeping" ] || return 0
    keeping=
    while read -r unit _; do [ -e "$STATE/stamps/$unit" ] || return 0; done < $KEPT/units
    # Whether a kubelet reaches the cluster is asked there, later: until then it may be sent back.
    if grep -q "${T}started$T" "$stage/ops"; then : > $KEPT/well; else rm -rf $KEPT; fi
}
