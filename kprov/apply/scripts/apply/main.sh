remember() { # what cannot be told apart later: the firewall tables and chains that were there before the first run
    mkdir -p $STATE/before
    { nft list tables 2> /dev/null || true; } > $STATE/before/nft-tables
    { nft list chains 2> /dev/null || true; } | awk '$1 == "table" {t = $2 " " $3} $1 == "chain" {print t, $2}' \
        > $STATE/before/nft-chains
}

main() {
    trap end EXIT
    trap 'exit 71' HUP INT TERM PIPE
    number=0
    mkdir -p $STATE/stamps
    # It was called manifest by kprov 0.1 and earlier.
    if [ ! -e $STATE/ledger ] && [ -e $STATE/manifest ]; then mv $STATE/manifest $STATE/ledger; fi
    if [ ! -e $STATE/ledger ]; then remember; fi
    touch $STATE/ledger
    exec 9>> $STATE/apply.lock
    flock -w 120 9 || fail 'another apply is still at work on this host'
    for old in $STATE/stage.*; do if [ "$old" != "$stage" ]; then rm -rf "$old"; fi; done
    : > "$stage/done"; : > "$stage/gone"; : > "$stage/pending"; : > "$stage/directories"
    sweep
    announce || fail 'cannot write the ledger, or keep what was there before'
    read -r _ operation _ < "$stage/ops"
    # What was seen well is forgotten with the next work; before, the cluster is asked for a heartbeat.
    case $operation in ask | go_back) ;; *) [ ! -e $KEPT/well ] || rm -rf $KEPT ;; esac
    permission=; halted=
    while IFS="$T" read -r number operation a b c d e f g; do
        [ "$operation:$b $c $d" = "directory:$permission" ] || make_directories
        [ "$operation" = steady ] || watched=
        case $operation in
        directory) # `make_directories` says when it is done
            current=$number; place; number=$current; permission="$b $c $d"
            do_directory "$a" "$b" "$c" "$d" "$e" ;;
        # `place` says when a file is there and what the check of it was; a stamp goes before anything else is done.
        file | binary | check) "do_$operation" "$a" "$b" "$c" "$d" "$e" "$f" "$g" ;;
        unstamp) do_unstamp "$a"; say ok "$number" ;;
        *)
            current=$number; place; number=$current
            "do_$operation" "$a" "$b" "$c" "$d" "$e" "$f" "$g"
            case $operation in
            gate | steady) printf '%s\t%s\t%s\t%s\n' $operation "$b" "$c" "$d" >> "$stage/passed.$a" ;;
            esac
            [ -n "$halted" ] || say ok "$number" ;;
        esac
        [ -z "$halted" ] || break
    done < "$stage/ops"
    make_directories
    place
    seen_well
    if [ -d $STATE/stamps ]; then cp "$stage/generation" $STATE/generation; else trap gone EXIT; fi
    say "done" 0
}

main
