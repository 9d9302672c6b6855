#!/bin/sh
# Copies what the journal holds of some units into files of JSON lines, each entry once, for a collector of files.
# Usage: kprov-journal FOLDER UNIT…
# Where to go on stands in the last whole line of the newest file, and nowhere else: there is nothing to disagree with.
# Files are never renamed; only the newest ones stay, and the collector's own buffer is what waits for a store.
set -u
export LC_ALL=C PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
LINES_EACH=10000
FILES=5
folder=$1
shift

names() { ls "$folder" | sed -n 's/^\([0-9]\{10\}\)\.json$/\1/p' | sort "$@"; }

cursor_of() { # of a whole line; quotes inside a message have a backslash before them
    case $1 in *'"__CURSOR":"'*) rest=${1#*'"__CURSOR":"'}; printf %s "${rest%%\"*}" ;; esac
}

last_cursor() { # a line that a crash left half written is closed, and not believed
    names -r | while read -r name; do
        file=$folder/$name.json
        torn=$(tail -c 1 "$file")
        [ -z "$torn" ] || echo >> "$file"
        found=$(tail -n 4 "$file" | sed -n "${torn:+\$d;}s/^{.*\"__CURSOR\":\"\([^\"]*\)\".*}\$/\1/p" | tail -n 1)
        [ -z "$found" ] || { printf %s "$found"; break; }
    done
}

open_file() { # a number: of a file that is there, or a new one
    file=$folder/$(printf %010d "$1").json
    : >> "$file" || exit 1
    written=$(wc -l < "$file")
    names | head -n -$FILES | while read -r name; do rm -f "$folder/$name.json"; done
}

seen=$(last_cursor) || exit 1
begin=--since=-1h # the first time: what led to the moment in which somebody desired to see logs
[ -z "$seen" ] || begin=--cursor=$seen
for unit; do
    shift
    set -- "$@" "--unit=$unit"
done
read -r machine < /etc/machine-id || exit 1
number=$(names | tail -n 1 | sed 's/^0*//')
open_file "${number:=1}"
# With --cursor and not --after-cursor: before systemd 255 that one loses an entry where the cursor's is not there.
# With --merge, and this machine's entries of what that brings: --follow alone keeps to what came since the last boot.
journalctl --quiet --output=json --all --output-fields=MESSAGE,PRIORITY,SYSLOG_IDENTIFIER,_SYSTEMD_UNIT,UNIT,_PID \
    --follow --no-tail --lines=all --merge "$begin" "$@" "_MACHINE_ID=$machine" | while IFS= read -r line; do
    if [ -n "$seen" ]; then
        first=$seen seen=
        [ "$(cursor_of "$line")" != "$first" ] || continue
    fi
    [ "$written" -lt $LINES_EACH ] || { number=$((number + 1)); open_file $number; }
    printf '%s\n' "$line" >> "$file" || exit 1
    written=$((written + 1))
done
exit 1 # journalctl ended: what it said stands in this unit's journal, and systemd starts it again
