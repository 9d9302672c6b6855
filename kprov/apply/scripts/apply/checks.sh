do_check() { # path, words
    printf '%s\t%s\t%s\n' "$number" "$1" "$2" >> "$stage/checks"
}

check_files() { # each program on its new file, before any file that is there already is replaced
    checked=$T$(cut -f 2 "$stage/checks" | tr '\n' "$T")
    by_folder name_new
    while IFS="$T" read -r number path words; do
        new=${path%/*}/.kprov-new/${path##*/}
        printf '%s\n' "$words" | tr '\037' '\n' | awk -v file="$new" '{at = index($0, "{}")}
            at {$0 = substr($0, 1, at - 1) file substr($0, at + 2)} {print}' > "$stage/words"
        read -r program < "$stage/words"; staged=${program%/*}/.kprov-new/${program##*/}
        if [ -x "$staged" ]; then sed -i "1s,.*,$staged," "$stage/words"; program=$staged; fi # the one that comes along
        if command -v "$program" > /dev/null; then check_file; fi # else nothing runs it yet
        say ok "$number"
    done < "$stage/checks"
    : > "$stage/checks"
}

check_file() {
    if ! xargs -d '\n' timeout 30 < "$stage/words" > "$stage/answer" 2> "$stage/log"; then
        # Go's commands print their whole usage beside the line that matters, haproxy its version.
        log=$(grep -m 3 -e '^Error: ' -e '^flag provided' -e '^\[ALERT\]' "$stage/log" || tail -n 5 "$stage/log"); sweep
        program=${program##*/} # or the script that asks it
        log=${log:-$(tail -n 5 "$stage/answer")}
        fail "${program#kprov-judge-} refuses the new $path, which was not put in place: $log"
    fi
    log=$(grep -i -m 5 -e unknown -e ignor "$stage/log") && note "$path: $log"
}

# What is checked may name what comes along: what is not checked itself, and whose place is empty, gets its name before.
name_new() { # folder, complete files
    into=$1; shift
    for file in "$@"; do
        shift
        target=$into/${file##*/}
        if [ -e "$target" ] || [ -L "$target" ]; then continue; fi
        case $checked in *"$T$target$T"*) continue ;; esac
        set -- "$@" "$file"
    done
    [ $# = 0 ] || log=$(mv -fZ -t "$into" "$@" 2>&1) || blame "$log"
}
