http_ok() { # port, path: 200 on loopback; curl where it is, else bash's own sockets
    if command -v curl > /dev/null 2>&1; then curl -fs -o /dev/null --max-time 2 "http://127.0.0.1:$1$2"
    else bash -c 'exec 3<>"/dev/tcp/127.0.0.1/$1" && printf "GET %s HTTP/1.0\r\nHost: localhost\r\n\r\n" "$2" >&3 &&
        read -t 2 -r _ code _ <&3 && [ "$code" = 200 ]' sh "$1" "$2" 2> /dev/null
    fi
}

listens() { # port
    awk -v p="$(printf ':%04X' "$1")" '$4 == "0A" && substr($2, length($2) - 4) == p {f = 1} END {exit !f}' \
        /proc/net/tcp /proc/net/tcp6 2> /dev/null
}

cri() { # socket: containerd answers without its CRI plugin as well, and then no pod can live
    if ! timeout 60 $BIN/ctr --address "$1" --timeout 5s plugins ls id==cri > "$stage/gate" 2>&1; then return 1; fi
    ! grep -q '^io\.containerd\.grpc\.v1 .* ok *$' "$stage/gate" || return 0
    timeout 60 $BIN/ctr --address "$1" --timeout 5s plugins ls -d id==cri 2>&1 |
        sed -n 's/^ *Message: *//p' > "$stage/gate"
    [ -s "$stage/gate" ] || echo 'containerd did not load its CRI plugin' > "$stage/gate"
    return 1
}

passes() { # kind, argument
    # shellcheck disable=SC2086 # arguments are words on purpose
    case $1 in
    active) systemctl is-active -q "$2" ;;
    http) http_ok $2 ;;
    listens) listens "$2" ;;
    cri) cri "$2" ;;
    command)
        KUBECACHEDIR=/run/kprov/cache KUBECONFIG=$stage/payload/kubeconfig \
            timeout 60 $2 < /dev/null > "$stage/gate" 2>&1 ;;
    esac
}

settled() { # unit or -: nothing is left of its restart; until then the old process may answer, with its last breath
    [ -z "$settled" ] || return 0
    [ "$1" = - ] || case $(systemctl show -p Job --value "$1") in '' | 0) ;; *) return 1 ;; esac
    settled=yes
}

gate_failure() { # unit or -: the cause first, which is what a program that does not run said last; warnings are none
    words=$(grep -ve 'level=warning' -e '^WARN' "$stage/gate" | tail -n 5)
    if [ "$1" = - ]; then printf %s "$words"; return; fi
    systemctl is-active -q "$1" || last_words "$1"
    printf '%s\n' "$words"
    unit_log "$1"
}

PATIENCE=5 # deadlines that a unit gets which works all the time

worked() { # unit or -: seconds that its processes had a processor, or stood in line for one
    [ "$1" != - ] || { echo 0; return; }
    for process in $(systemctl show -p MainPID -p ControlPID --value "$1"); do
        case $process in 0 | *[!0-9]*) ;; *) cat "/proc/$process/task"/*/schedstat 2> /dev/null ;; esac
    done | awk '{sum += $1 + $2} END {printf "%.2f", sum / 1e9}'
}

# Whether a unit's time is up. What it works through does not count: on a slow host, or a busy one, it comes up later.
# Looked at once a second: the looking takes time of the processor that the unit waits for.
late() { # unit or -, seconds
    read -r now _ < /proc/uptime
    [ "${now%%.*}" != "$looked" ] || return 1
    looked=${now%%.*}
    awk -v now="$now" -v work="$(worked "$1")" -v limit="$2" -v most=$PATIENCE -v file="$stage/waited" 'BEGIN {
        began = at = now; had = work
        if ((getline line < file) > 0) {
            split(line, word, " "); began = word[1]; at = word[2]; had = word[3]; idle = word[4]
        }
        close(file)
        if (work - had < (now - at) / 2) idle += now - at
        print began, now, work, idle + 0 > file
        exit !(idle >= limit || now - began >= most * limit)
    }'
}

fresh_deadline() { [ ! -e "$stage/waited" ] || rm -f "$stage/waited"; looked=; }

do_gate() { # unit, kind, seconds, argument
    fresh_deadline; settled=
    : > "$stage/gate"
    until settled "$1" && passes "$2" "$4"; do
        ! late "$1" "$3" || fail "$(gate_failure "$1")"
        sleep 0.2
    done
}
