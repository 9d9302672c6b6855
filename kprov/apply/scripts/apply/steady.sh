restarted= # units, since the exec began
elder= # units that an earlier exec restarted
watched= # since the last other operation: one look answers for all units that are asked one after the other

# Looks at all units restarted so far, side by side. Of each, a line: unit, main process, since when it is that one, how
# many ended before, whether it has lived for longer than systemd waits before a restart, ActiveState, SubState.
watch() {
    read -r now _ < /proc/uptime # a clock that nobody sets
    asked=Id,Type,ActiveState,SubState,MainPID,ExecMainStartTimestampMonotonic,RestartUSec,Job,NRestarts
    # shellcheck disable=SC2086 # names of units have no blanks
    systemctl show -p $asked $restarted |
        awk -F= -v now="$now" -v watched="$stage/watched" -v elders="$elder" -v hasty="$keeping" '
        BEGIN {
            split(elders, word, " "); for (i in word) elder[word[i]]
            split("us 0.000001 ms 0.001 s 1 min 60 h 3600 d 86400", word, " ")
            for (i = 1; i in word; i += 2) scale[word[i]] = word[i + 1]
            while ((getline line < watched) > 0) {
                split(line, word, " "); known[word[1]] = word[2]; since[word[1]] = word[3]; ends[word[1]] = word[4]
            }
        }
        function seconds(span,   count, part, i, unit, sum) { # as systemd writes it: `1min 30s`
            count = split(span, part, " ")
            for (i = 1; i <= count; i++) {unit = part[i]; sub(/^[0-9.]+/, "", unit); sum += part[i] * scale[unit]}
            return sum
        }
        function born(process,   file, line, part) { # in seconds of /proc/uptime: proc(5), starttime in ticks of 10 ms
            file = "/proc/" process "/stat"
            if ((getline line < file) <= 0) return now
            close(file); sub(/^.*\) /, "", line); split(line, part, " ")
            return part[20] / 100
        }
        function put(   name, process, lives) {
            name = v["Id"]; process = "-"; lives = "no"
            if (name == "") return
            if (v["Job"] + 0 == 0) { # until then the old process may still be there
                if (v["Type"] == "oneshot") {if (v["ActiveState"] == "active") lives = "yes"}
                else if (v["SubState"] == "running" && v["MainPID"] > 0)
                    process = v["MainPID"] "@" v["ExecMainStartTimestampMonotonic"]
            }
            if (process != known[name]) {
                if (known[name] != "" && known[name] != "-") ends[name]++
                since[name] = known[name] == "" && process != "-" && name in elder ? born(v["MainPID"]) : now
            }
            # Where all that it needs is there, one that never gets ready is not waited for until its deadline.
            if (hasty != "" && v["NRestarts"] + 0 > ends[name] + 0) ends[name] = v["NRestarts"] + 0
            if (process != "-" && now - since[name] > seconds(v["RestartUSec"])) lives = "yes"
            print name, process, since[name], ends[name] + 0, lives, v["ActiveState"], v["SubState"]
            split("", v)
        }
        $1 == "" {put(); next} {v[$1] = $2} END {put()}' > "$stage/watched.new" &&
        mv -f "$stage/watched.new" "$stage/watched"
    watched=yes
}

# What an earlier exec restarted has lived for as long as its process. All of it that this exec asks for is looked at
# with the first one, but what is restarted before its turn.
add_elders() {
    for unit in $(awk -F"$T" -v from="$number" '$1 < from {next} $2 == "restart" {later[$3]}
            $2 == "steady" && !($3 in later) {print $3}' "$stage/ops"); do
        case " $restarted " in *" $unit "*) continue ;; esac
        restarted="$restarted $unit"; elder="$elder $unit"; watched=
    done
}

do_steady() { # unit, seconds: its main process stays. One that ends soon after each start answers well in between
    read -r began _ < /proc/uptime; fresh_deadline
    case " $restarted " in *" $1 "*) ;; *) add_elders ;; esac
    while :; do
        [ -n "$watched" ] || watch
        # shellcheck disable=SC2046 # words on purpose
        set -- "$1" "$2" $(awk -v unit="$1" '$1 == unit {print $4, $5, $6, $7}' "$stage/watched")
        [ "${4:-}" != yes ] || return 0
        watched=
        if [ "${3:-0}" -ge 5 ]; then
            log="it ended $3 times within $((${now%%.*} - ${began%%.*})) s of its restart, and systemd starts it"
            log="$log again and again"
        elif late "$1" "$2"; then
            log="it did not run for longer than its RestartSec, it is ${5:-unknown} (${6:-unknown})"
        else sleep 0.2; continue; fi
        words=$(last_words "$1")
        fail "${words:+$words: }$log
$(unit_log "$1")"
    done
}

last_words() { # of a unit's own program: mostly why it ended. What systemd says of the unit is not among them
    journalctl _SYSTEMD_UNIT="$1" -n 1 --no-pager -o cat -q 2> /dev/null
}

unit_log() { # how a unit ended last, and its last lines
    systemctl show -p ActiveState,SubState,Result,ExecMainStatus --value "$1" | tr '\n' ' '
    echo
    beside=$(systemctl show -p DropInPaths --value "$1")
    [ -z "$beside" ] || echo "it has settings beside kprov's: $beside"
    journalctl -u "$1" -n 20 --no-pager -o cat 2> /dev/null
}

# The service is an object of systemd's on D-Bus. Tells when its main process started, in microseconds of the epoch.
do_started() { # service
    log=$(busctl get-property org.freedesktop.systemd1 "$1" \
        org.freedesktop.systemd1.Service ExecMainStartTimestamp 2>&1) ||
        fail "cannot ask systemd when it started: $log"
    tell "${log#t }"
}

do_unit_log() { tell "$(unit_log "$1")"; } # unit
