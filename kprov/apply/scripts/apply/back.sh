# Gives a host back what keep.sh kept: files, units, stamps.
# Writes what became of it: files COUNT, and of each unit that was not left alone `unit NAME well`, `starts`, `removed`
# or `ill WORDS`. Nothing is written when nothing had changed.
take_back() {
    keeping=; : > "$stage/back"
    # shellcheck disable=SC2046 # names of units have no blanks
    how_they_are $(cut -d ' ' -f 1 $KEPT/units) > "$stage/now"
    moved=$(awk 'FILENAME == ARGV[1] {was[$1] = $2 $4; next} was[$1] != $2 $4 {print $1}' \
        $KEPT/units "$stage/now" | tr '\n' ' ')
    # shellcheck disable=SC2086 # the same
    [ -z "$moved" ] || systemctl stop $moved 2> /dev/null
    awk -F"$T" 'FILENAME == ARGV[1] {back[$2]; next} !($2 in back)' $KEPT/files "$stage/gone" > "$stage/gone.new" &&
        mv -f "$stage/gone.new" "$stage/gone"
    count=0
    while IFS="$T" read -r kind path value was; do give_back "$kind" "$path" "$value" "$was"; done < $KEPT/files
    [ $count = 0 ] || echo "files $count" >> "$stage/back"
    units_back
    rm -rf $KEPT
    cp "$stage/generation" $STATE/generation # so that the next run asks again whether all is well
    sync $STATE/stamps
}

give_back() { # kind, path, recorded value, whether it was there
    kept=$KEPT/root$2
    case $1:$4 in
    mode:*) chown "${3% *}" "$2" && chmod "${3#* }" "$2" ;;
    *:there)
        if [ -L "$kept" ] || [ -L "$2" ] || ! cmp -s "$kept" "$2"; then
            { cp -al "$kept" "$2.kprov-new" 2> /dev/null || cp -a "$kept" "$2.kprov-new"; } &&
                mv -fT "$2.kprov-new" "$2" && count=$((count + 1))
        fi
        record "$1" "$2" "$3" ;;
    *:absent)
        if [ -e "$2" ] || [ -L "$2" ]; then rm -f "$2" && count=$((count + 1)); fi
        if [ "$3" = - ]; then forget "$1" "$2"; else record "$1" "$2" "$3"; fi ;;
    esac
}

units_back() { # as they were; those that ran are started, and then asked what they were asked when they were seen well
    while read -r unit state enabled _; do
        case $state:$enabled in
        absent:*) systemctl disable -q "$unit" 2> /dev/null; forget unit "$unit" ;;
        *:disabled) systemctl disable -q "$unit" 2> /dev/null ;;
        esac
    done < $KEPT/units
    systemctl daemon-reload 2> /dev/null
    rm -f "$stage/watched"; restarted=
    while read -r unit state _; do
        case " $moved" in *" $unit "*) ;; *) continue ;; esac
        systemctl reset-failed -q "$unit" 2> /dev/null
        case $state in
        absent) echo "unit $unit removed" >> "$stage/back"; continue ;;
        runs) restarted="$restarted $unit" ;;
        rests) echo "unit $unit starts" >> "$stage/back" ;; # it did not run before: nobody can say what it will do
        esac
        systemctl start --no-block "$unit" 2> /dev/null
    done < $KEPT/units
    while read -r unit state _; do
        rm -f "$STATE/stamps/$unit"
        case "$restarted " in *" $unit "*)
            log=$(ask_again "$unit") || { printf 'unit %s ill %s\n' "$unit" "$log" >> "$stage/back"; continue; }
            echo "unit $unit well" >> "$stage/back" ;;
        esac
        [ ! -e "$KEPT/stamps/$unit" ] || cp -p "$KEPT/stamps/$unit" "$STATE/stamps/$unit"
    done < $KEPT/units
}

ask_again() ( # unit: its stamp has what it was asked when it got it. The first line of what went wrong is told
    fail() { printf '%s\n' "$1" | head -n 1; exit 1; }
    watched=
    { sed 1d "$KEPT/stamps/$1" 2> /dev/null; printf 'steady\t60\n'; } > "$stage/again"
    while IFS="$T" read -r operation a b c; do "do_$operation" "$1" "$a" "$b" "$c"; done < "$stage/again"
)

do_go_back() { # : to what is kept, as the cluster does not see well what the host did
    [ -s $KEPT/units ] || fail 'nothing is kept of what was there before'
    take_back
    tell "$(cat "$stage/back")"
    ! log=$(grep ' ill ' "$stage/back") || fail "it does not run as it did before: ${log#unit }"
}
