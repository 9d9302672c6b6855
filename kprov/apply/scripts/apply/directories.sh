do_directory() { # path, owner, group, mode, content: keep or purge, what `down` does with it
    printf '%s\t%s\t%s\n' "$number" "$1" "$5" >> "$stage/directories"
}

make_directories() { # those since the last call, all with the same owner and mode: one program for all of them
    [ -s "$stage/directories" ] || return 0
    current=$number
    # shellcheck disable=SC2086 # owner, group, mode
    set -- $permission; owner=$1 group=$2 mode=$3; set --
    while IFS="$T" read -r number path _; do set -- "$@" "$path"; done < "$stage/directories"
    if ! log=$(install -d -o "$owner" -g "$group" -m "$mode" "$@" 2>&1); then
        while IFS="$T" read -r number path _; do
            [ -d "$path" ] || break
            case $log in *"'$path'"*) break ;; esac
        done < "$stage/directories"
        fail "cannot make directory $path: $log"
    fi
    while IFS="$T" read -r number path content; do
        record directory "$path" "$content"
        say ok "$number"
    done < "$stage/directories"
    : > "$stage/directories"; number=$current
}
