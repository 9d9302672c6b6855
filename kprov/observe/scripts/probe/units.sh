units() {
    names=
    ! asked unit || while read -r name; do names="$names $name"; done < "$work/unit"
    read -r now _ < /proc/uptime
    # shellcheck disable=SC2086 # unit names have no blanks
    [ -n "$names" ] && systemctl show -p Id,ActiveState,UnitFileState,NeedDaemonReload,LoadState,SubState,NRestarts,ExecMainStartTimestampMonotonic,FragmentPath,RestartUSec,DropInPaths $names 2>/dev/null |
        awk -F= -v now="$now" '$1 != "" {v[$1] = $2} $1 == "" {put()} END {put()}
            function word(name) {return v[name] == "" ? "-" : v[name]}
            function put() {if ("Id" in v) print "unit\t" v["Id"] "\t" word("ActiveState") " " word("UnitFileState") " " word("NeedDaemonReload") " " word("LoadState") \
                " " word("SubState") " " v["NRestarts"] + 0 " " now " " v["ExecMainStartTimestampMonotonic"] + 0 " " v["RestartUSec"]
                if ("Id" in v && v["FragmentPath"] != "" && v["FragmentPath"] != "/etc/systemd/system/" v["Id"]) print "fragment\t" v["Id"] "\t" v["FragmentPath"]
                if (v["DropInPaths"] != "") print "dropin\t" v["Id"] "\t" v["DropInPaths"]; split("", v)}'
    for stamp in $STATE/stamps/*; do
        [ -f "$stamp" ] && { read -r value < "$stamp"; say stamp "${stamp##*/}" "$value"; }
    done
}

kernel() {
    # The kernel gives a parameter in one read only: `read`, byte by byte, would see its first digit.
    ! asked sysctl || awk '{path = $0; gsub(/\./, "/", path); path = "/proc/sys/" path
        if ((getline value < path) > 0) {gsub(/\t/, " ", value); print "sysctl\t" $0 "\t" value}; close(path)}' "$work/sysctl"
    ! asked module || while read -r name; do
        [ -d "/sys/module/$name" ] && say loaded "$name" yes
    done < "$work/module"
}

accounts() { # those that have a group of their name
    ! asked user || { xargs -d '\n' getent passwd < "$work/user"; echo; xargs -d '\n' getent group < "$work/user"; } |
        awk -F: '$0 == "" {groups = 1; next} !groups {there[$1]; next} $1 in there {print "user\t" $1 "\tyes"}'
}
