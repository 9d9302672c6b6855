before() { # what was there before kprov came, told once, at the first touch
    case $1 in
    file | binary)
        if [ -e "$2" ] || [ -L "$2" ]; then
            mkdir -p "$STATE/before${2%/*}" && cp -a "$2" "$STATE/before$2" && echo saved
        else echo absent; fi ;;
    directory)
        if [ -d "$2" ]; then stat -L -c "present %a %U %G$(holds_anything "$2" && echo ' full')" "$2"
        else echo absent; fi ;;
    sysctl) tr '\t' ' ' < "/proc/sys/$(printf %s "$2" | tr . /)" 2> /dev/null || echo absent ;;
    module) if [ -d "/sys/module/$2" ]; then echo present; else echo absent; fi ;;
    user) # the account, and the group of its name
        printf '%s %s\n' "$(getent passwd "$2" > /dev/null && echo present || echo absent)" \
            "$(getent group "$2" > /dev/null && echo present || echo absent)" ;;
    package) if command -v "$3" > /dev/null 2>&1; then echo present; else echo absent; fi ;;
    unit)
        if ! grep -qF "file$T/etc/systemd/system/$2$T" $STATE/ledger &&
            [ "$(systemctl show -p LoadState --value "$2")" = loaded ]; then
            printf 'present %s %s\n' \
                "$(systemctl is-enabled "$2" 2> /dev/null)" "$(systemctl is-active "$2" 2> /dev/null)"
        else echo absent; fi ;;
    swap) awk 'NR > 1 {printf "%s%s", sep, $1; sep = " "} END {if (NR < 2) printf "none"; print ""}' /proc/swaps ;;
    *) echo absent ;;
    esac
}

# What a file system has of its own at its root is nobody's data.
holds_anything() { [ -n "$(find "$1/" -mindepth 1 -maxdepth 1 ! -name lost+found -print -quit 2> /dev/null)" ]; }

empty() { find "$1/" -mindepth 1 -maxdepth 1 ! -name lost+found -exec rm -rf --one-file-system {} + 2> /dev/null; }

announce() { # write-ahead: what is about to be made is in the ledger before it exists
    awk -F"$T" 'FILENAME == ARGV[1] {known[$1, $2]; next} !(($1, $2) in known)' \
        $STATE/ledger "$stage/announce" > "$stage/unknown"
    [ -s "$stage/unknown" ] || return 0
    new=$stage/new; : > "$new"
    while IFS="$T" read -r kind name value; do
        { printf '%s\t%s\t%s\t-\t' "$kind" "$name" "$value" && before "$kind" "$name" "$value"; } >> "$new" || return 1
    done < "$stage/unknown"
    cat $STATE/ledger "$new" > $STATE/ledger.new && sync $STATE/ledger.new &&
        mv -f $STATE/ledger.new $STATE/ledger
}

record() { printf '%s\t%s\t%s\n' "$1" "$2" "$3" >> "$stage/done"; } # kind, name, hash or value
forget() { printf '%s\t%s\tgone\n' "$1" "$2" >> "$stage/gone"; }

write_ledger() { # hashes and stat lines of what was done; lines of what is gone are left out
    [ -s "$stage/done" ] || [ -s "$stage/gone" ] || return 0
    touch "$stage/done" "$stage/gone"
    awk -F"$T" '$1 == "file" || $1 == "binary" {print $2}' "$stage/done" | sort -u |
        xargs -r -d '\n' stat -c "%n$T%i:%s:%.9Y:%.9Z" > "$stage/stats" 2> /dev/null
    awk -F"$T" -v OFS="$T" -v stats="$stage/stats" -v made="$stage/done" -v gone="$stage/gone" '
        BEGIN { while ((getline < stats) > 0) stat[$1] = $2
                while ((getline < made) > 0) value[$1, $2] = $3
                while ((getline < gone) > 0) left[$1, $2] = 1 }
        ($1, $2) in left {next}
        ($1, $2) in value {$3 = value[$1, $2]; $4 = ($2 in stat) ? stat[$2] : "-"}
        {print}' $STATE/ledger > $STATE/ledger.new &&
        sync $STATE/ledger.new && mv -f $STATE/ledger.new $STATE/ledger
    : > "$stage/done"; : > "$stage/gone"
}

end() {
    status=$?
    trap '' HUP INT TERM PIPE
    if [ -n "$keeping" ] && [ $status != 0 ]; then
        take_back
        [ ! -s "$stage/back" ] || printf 'back\t%s\t%s\n' "$number" "$(base64 -w0 < "$stage/back")"
    fi
    write_ledger
    # What installs packages beside us unmasks by itself.
    if [ ! -e $STATE/packages.lock ] || flock -n $STATE/packages.lock true; then unmask_now; fi
    rm -rf "$stage"
    exit $status
}

gone() { rm -rf $STATE; } # after `down`: the last of it
