plain_http() { # port, path: 200 on loopback
    if command -v curl > /dev/null 2>&1; then curl -fs -o /dev/null --max-time 2 "http://127.0.0.1:$1$2"
    else bash -c 'exec 3<>"/dev/tcp/127.0.0.1/$1" && printf "GET %s HTTP/1.0\r\nHost: localhost\r\n\r\n" "$2" >&3 &&
        read -t 2 -r _ code _ <&3 && [ "$code" = 200 ]' sh "$1" "$2" 2> /dev/null
    fi
}

plain_text() { # port, path: what loopback answers, whatever its code
    if command -v curl > /dev/null 2>&1; then curl -s --noproxy '*' --max-time 6 "http://127.0.0.1:$1$2"
    else timeout 6 bash -c 'exec 3<>"/dev/tcp/127.0.0.1/$1" && printf "GET %s HTTP/1.0\r\nHost: localhost\r\n\r\n" "$2" >&3 &&
        sed "1,/^\r*$/d" <&3' sh "$1" "$2" 2> /dev/null
    fi
}

healthy() { # unit, kind of question, its argument: as far as it can be asked without rights
    # shellcheck disable=SC2086 # an argument is words
    case $2 in
    http) plain_http $3 ;;
    api) HOME=$work KUBECACHEDIR=/run/kprov/cache timeout 10 $BIN/kubectl --kubeconfig "$work/kubeconfig" get --raw "$3" > /dev/null 2>&1 ;;
    socket) curl -fsS -o /dev/null --max-time 5 --unix-socket $3 2> /dev/null ;;
    command) timeout 5 $BIN/$3 > /dev/null 2>&1 ;;
    cri) timeout 5 $BIN/ctr --address "$3" --connect-timeout 2s plugins ls id==cri 2> /dev/null | grep -q ' ok *$' ;;
    *) systemctl is-active -q "$1.service" ;;
    esac
}

version() { # unit, program: what runs says it of itself, even when the file is another by now
    pid=$(systemctl show -p MainPID --value "$1.service" 2>/dev/null)
    exe=$BIN/$2; [ "${pid:-0}" != 0 ] && [ -x "/proc/$pid/exe" ] && exe=/proc/$pid/exe
    [ -x "$exe" ] && say version "$1" "$(timeout 10 "$exe" --version 2>/dev/null | head -n 1)"
}

programs() { # those whose version is asked
    ! asked program || while read -r name; do version "$name" "$name" < /dev/null; done < "$work/program"
}

status() { # only for `kprov status`: versions and health of components, which a run does not need
    asked status || return 0
    # Units of an older kprov are not asked for, but recorded.
    awk -F"$T" -v OFS="$T" '$1 == "unit" {sub(/\.service$/, "", $2); print $2, "-", "active", "-"}' "$records" |
        cat "$work/status" - | awk -F"$T" '!seen[$1]++' | while IFS="$T" read -r name program kind argument; do
        [ -f "/etc/systemd/system/$name.service" ] || continue
        [ "$program" = - ] || version "$name" "$program" < /dev/null
        if healthy "$name" "$kind" "$argument" < /dev/null; then say health "$name" ok; else say health "$name" failing; fi
    done
    if [ -d /etc/etcd/pki ] && [ -x $BIN/etcdctl ]; then
        value=$(timeout 5 $BIN/etcdctl --endpoints=https://127.0.0.1:2379 --cacert=/etc/etcd/pki/ca.crt \
            --cert=/etc/etcd/pki/healthcheck-client.crt --key=/etc/etcd/pki/healthcheck-client.key \
            --command-timeout=4s endpoint status -w json 2>/dev/null | base64 -w0)
        [ -n "$value" ] && say etcd status "$value"
    fi
}
