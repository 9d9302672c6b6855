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

says() { # how the answer begins, a command
    # shellcheck disable=SC2086 # arguments are words on purpose
    passes command "${1#* }" && case $(cat "$stage/gate") in "${1%% *}"*) ;; *) return 1 ;; esac
}

passes() { # kind, argument
    # shellcheck disable=SC2086 # arguments are words on purpose
    case $1 in
    active) systemctl is-active -q "$2" ;;
    http) http_ok $2 ;;
    listens) listens "$2" ;;
    says) says "$2" ;;
    command)
        KUBECACHEDIR=/run/kprov/cache KUBECONFIG=$stage/payload/kubeconfig \
            timeout 20 $2 < /dev/null > "$stage/gate" 2>&1 ;;
    esac
}

settled() { # unit or -: nothing is left of its restart; until then the old process may answer, with its last breath
    [ "$1" = - ] || case $(systemctl show -p Job --value "$1") in '' | 0) ;; *) return 1 ;; esac
}

gate_failure() { # unit or -: the cause first, which is what a program that does not run said last; warnings are none
    words=$(grep -ve 'level=warning' -e '^WARN' "$stage/gate" | tail -n 5)
    if [ "$1" = - ]; then printf %s "$words"; return; fi
    systemctl is-active -q "$1" || last_words "$1"
    printf '%s\n' "$words"
    unit_log "$1"
}

do_gate() { # unit, kind, seconds, argument
    limit=$(($(date +%s) + $3))
    : > "$stage/gate"
    until settled "$1" && passes "$2" "$4"; do
        if [ "$(date +%s)" -ge $limit ]; then
            fail "$(gate_failure "$1")"
        fi
        sleep 0.2
    done
}
