# Files go into place in groups, so that many cost hardly more programs than one: each is complete, with owner and
# mode, in a folder `.kprov-new` beside its place and on the disk, before it gets its name (-Z: with its place's
# SELinux label).
do_file() { # payload, path, owner, group, mode, sha256
    printf '%s\t%s\t%s\t%s\tfile\t%s\t%s\t%s\n' \
        "$number" "${2%/*}" "${2##*/}" "$6" "$3:$4" "$5" "$stage/payload/$1" >> "$stage/pending"
}

fresh() { # folders: the `.kprov-new` of each, remembered until it is gone
    for into in "$@"; do
        shift
        if [ -e "$into/.kprov-new" ]; then
            ! grep -qxF "$into" "$STATE/unfinished" 2> /dev/null || continue
            rm -rf "$into/.kprov-new" || return 1
        fi
        printf '%s\n' "$into" >> $STATE/unfinished && set -- "$@" "$into/.kprov-new" || return 1
    done
    [ $# = 0 ] || mkdir "$@"
}

sweep() { # what an apply that was cut off, or failed, left beside its places
    [ -e $STATE/unfinished ] || return 0
    sed 's,$,/.kprov-new,' $STATE/unfinished | xargs -r -d '\n' rm -rf && rm -f $STATE/unfinished
}

place() { # every file since the last call
    [ -s "$stage/pending" ] || { expire; return 0; }
    sort -t "$T" -k 2,2 -s -o "$stage/pending" "$stage/pending"
    permit
    by_folder open_folder
    # shellcheck disable=SC2086 # names of folders have no blanks
    log=$(fresh $folders 2>&1) || blame "$log"
    by_folder stage_files
    log=$(awk -F"$T" '{print $2 "/.kprov-new/" $3}' "$stage/pending" | xargs -d '\n' sync 2>&1) ||
        blame "the disk did not take the data: $log"
    keep_files
    [ ! -s "$stage/checks" ] || check_files
    expire
    by_folder name_files
    sweep
    while IFS="$T" read -r number folder name hash kind _; do
        record "$kind" "$folder/$name" "$hash"
        say ok "$number"
    done < "$stage/pending"
    : > "$stage/pending"
}

permit() { # owner and mode, each kind of them once
    cut -f 6,7 "$stage/pending" | sort -u > "$stage/permissions"
    while IFS="$T" read -r owner mode; do
        case $owner:$mode in -:* | root:root:0600) continue ;; esac # as they arrived
        awk -F"$T" -v o="$owner" -v m="$mode" '$6 == o && $7 == m {print $8}' "$stage/pending" > "$stage/these"
        log=$({ [ "$owner" = root:root ] || xargs -d '\n' chown "$owner" < "$stage/these"; } 2>&1 &&
            xargs -d '\n' chmod "$mode" < "$stage/these" 2>&1) || blame "$log"
    done < "$stage/permissions"
}

by_folder() { # function: called with each folder of the pending files and the files
    last=; step=$1; folders=; set --
    while IFS="$T" read -r _ folder name _ _ _ _ payload; do
        if [ "$folder" != "$last" ] && [ -n "$last" ]; then "$step" "$last" "$@"; set --; fi
        last=$folder
        case $step in
        open_folder | stage_files) [ "$payload" = - ] || set -- "$@" "$payload" ;;
        *) set -- "$@" "$folder/.kprov-new/$name" ;;
        esac
    done < "$stage/pending"
    "$step" "$last" "$@"
}

open_folder() { [ $# = 1 ] || folders="$folders $1"; } # folder, payload files

stage_files() { # folder, payload files
    into=$1; shift
    [ $# -gt 0 ] || return 0
    log=$(mv -fZ -t "$into/.kprov-new" "$@" 2>&1) || blame "$log"
}

name_files() { # folder, complete files
    into=$1; shift
    for file in "$@"; do
        shift
        [ -e "$file" ] || continue # `name_new` had it
        set -- "$@" "$file"
        if [ -d "$into/${file##*/}" ] && [ ! -L "$into/${file##*/}" ]; then rm -rf "${into:?}/${file##*/}"; fi
    done
    [ $# = 0 ] || log=$(mv -fZ -t "$into" "$@" 2>&1) || blame "$log"
}

blame() { # log: the operation it is about is the one whose file it names, else the first
    number=
    while IFS="$T" read -r pending folder name _; do
        number=${number:-$pending}
        case $1 in *"$folder/.kprov-new/$name"* | *"/$name'"*) number=$pending; break ;; esac
    done < "$stage/pending"
    sweep
    fail "cannot write: $1"
}

staged() { # content, path, owner, group, mode: a complete file beside its place, owner and mode set before content
    rm -f "$2.kprov-new"
    : > "$2.kprov-new" && chown "$3:$4" "$2.kprov-new" && chmod "$5" "$2.kprov-new" && cat "$1" > "$2.kprov-new"
}

do_mode() { # path, owner, group, mode
    keep_mode "$1"
    log=$(chown "$2:$3" "$1" 2>&1 && chmod "$4" "$1" 2>&1) || fail "cannot set owner and mode of $1: $log"
    record_same "$1"
}

record_same() { # the content is as recorded, the inode's times moved
    hash=$(awk -F"$T" -v p="$1" '($1 == "file" || $1 == "binary") && $2 == p {print $3}' $STATE/ledger)
    kind=$(awk -F"$T" -v p="$1" '($1 == "file" || $1 == "binary") && $2 == p {print $1}' $STATE/ledger)
    if [ -n "$kind" ]; then record "$kind" "$1" "$hash"; fi
}

do_adopt() { # kind, name, value: it is right already and only has to be recorded
    record "$1" "$2" "$3"
}
