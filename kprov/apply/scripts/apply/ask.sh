# Asks a client, once or with each of some words more, side by side, and answers what was said. A failure whose words
# match `again` passes, as does an answer that does not match `until`: it is asked again until time is up. Then, and
# after any other failure, the exec ends, as what comes next depends on the answer. Whoever asks wrote what matches.
do_ask() { # program, asked, stdin, again, seconds, each, until
    limit=$(($(date +%s) + $5)); each=$(words "$6"); left=$each
    while :; do
        for one in $left; do ask_one "$1" "$2" "$3" "$one" "$7" 9>&- & done
        wait
        open=$left; left=; passing=yes
        for one in $open; do
            [ -e "$stage/said.$one/well" ] && continue
            left="$left $one"
            [ -e "$stage/said.$one/ok" ] || { [ "$4" != - ] && grep -Eq -e "$4" "$stage/said.$one/err"; } || passing=
        done
        [ -n "$left" ] && [ -n "$passing" ] && [ "$(date +%s)" -lt $limit ] || break
        say wait "$number" # nobody listens any more? Then this ends us, instead of a lock held until the deadline
        sleep 0.5
    done
    code=0
    for one in $each; do
        [ -e "$stage/said.$one/ok" ] || { [ $code != 0 ] || read -r code < "$stage/said.$one/code"; }
        cat "$stage/said.$one/out" >> "$stage/out"; tail -c 16000 "$stage/said.$one/err" >> "$stage/err"
    done
    printf 'answer\t%s\t%s\t%s\t%s\n' "$number" "$code" \
        "$(gzip -c "$stage/out" | base64 -w0)" "$(tail -c 16000 "$stage/err" | base64 -w0)"
    rm -rf "$stage/out" "$stage/err" "$stage"/said.*
    [ -z "$left" ] || halted=yes
}

ask_one() { # program, asked, stdin, one more word or -, what its output must match or -
    said=$stage/said.$4; rm -rf "$said"; mkdir "$said"
    input=/dev/null; [ "$3" = - ] || input=$stage/payload/$3
    more=; [ "$4" = - ] || more=$4
    client "$1" "$2" ${more:+"$more"} < "$input" > "$said/out" 2> "$said/err"
    echo $? > "$said/code"
    read -r code < "$said/code"; [ "$code" = 0 ] || return 0
    : > "$said/ok"
    if [ "$5" = - ] || { grep -Eq -e "$5" "$said/out" && ! grep -Evq -e "$5" "$said/out"; }; then : > "$said/well"; fi
}

client() ( # program, arguments, one more where there is one
    program=$1; more=${3:-}
    IFS=$(printf '\037'); set -f
    # shellcheck disable=SC2086 # split at the character between words, and nowhere else
    set -- $2 ${more:+"$more"}
    case $program in
    etcdctl)
        exec timeout 60 $BIN/etcdctl --cacert=/etc/etcd/pki/ca.crt --cert=/etc/etcd/pki/healthcheck-client.crt \
            --key=/etc/etcd/pki/healthcheck-client.key --command-timeout=10s --dial-timeout=5s -w json "$@" ;;
    *)
        export KUBECACHEDIR=/run/kprov/cache KUBECONFIG="$stage/payload/kubeconfig"
        case $program in
        kubectl) exec $BIN/kubectl "$@" ;;
        metrics) $BIN/kubectl --server="$1" --request-timeout=20s get --raw /metrics | { grep -F "$2{" || true; } ;;
        rewrite) rewrite "$1" ;;
        esac ;;
    esac
)

# Each object of a list is put back as it is. Answered is what the list says of itself, which servers write at its begin
# or at its end, and how many objects were taken; what was said of the others is on stderr. Nothing of an object leaves.
rewrite() { # path of a list, with its limit
    page=$said/page
    (umask 077; $BIN/kubectl --request-timeout=60s get --raw "$1" > "$page") || return 1
    { head -c 4000 "$page" |
          sed -n '1s/^{"kind":"[A-Za-z]*","apiVersion":"[^"]*","metadata":\({[^{}]*}\).*/\1/p'
      tail -c 4000 "$page" | sed -n '$s/.*],"kind":"[A-Za-z]*","metadata":\({[^{}]*}\)}$/\1/p'
    } | awk 'NR == 1' # with its line break, which answers lack
    $BIN/kubectl replace --validate=false -o name -f "$page" | grep -c .
    rm -f "$page"
}
