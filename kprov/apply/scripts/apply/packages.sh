PACKAGES_WAIT=300 # seconds for whoever works with packages, such as the upgrades that begin at boot

packages_holder() { # NAME (pid N) of who holds a lock of apt or dpkg; as /proc/locks names it, by the file's inode
    for lock in /var/lib/dpkg/lock-frontend /var/lib/dpkg/lock /var/lib/apt/lists/lock; do
        inode=$(stat -c %i "$lock" 2> /dev/null) || continue
        pid=$(awk -v i=":$inode" '
            $2 == "POSIX" && substr($6, length($6) - length(i) + 1) == i {print $5; exit}' /proc/locks)
        [ -n "$pid" ] || continue
        name=; read -r name < "/proc/$pid/comm" 2> /dev/null
        printf '%s (pid %s)' "${name:-a process}" "$pid"
        return
    done
}

wait_for_packages() { # says once that it waits, and for whom; apt and dpkg say it themselves when it was in vain
    [ "$1" = apt ] || return 0
    tries=$PACKAGES_WAIT
    while holder=$(packages_holder) && [ -n "$holder" ] && [ $tries -gt 0 ]; do
        if [ $tries = $PACKAGES_WAIT ]; then
            read -r here < /proc/sys/kernel/hostname
            note "$here: waiting up to $tries s for $holder, which holds the lock of the package manager"
        fi
        tries=$((tries - 1)); sleep 1
    done
}

apt_get() { outside env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=60 "$@" 2>&1 < /dev/null; }

zypper_now() { ZYPP_LOCK_TIMEOUT=$PACKAGES_WAIT zypper --non-interactive "$@" 2>&1 < /dev/null; }

errors() { # a log: what went wrong first, then its last lines
    printf '%s\n' "$1" | grep -E '^(E|Err|Error|ERROR|Problem|No match|No provider)[: ]' | awk '!seen[$0]++' | head -n 6
    printf '%s\n' "$1" | tail -n 5
}

install_package() { # name, manager: sets `log`
    case $2 in
    apt) # old lists will do; a source that cannot be reached matters only when the package cannot be had without
        log=$(apt_get install -y --no-install-recommends "$1") && return
        lists=$(apt_get update); fetched=$?
        log=$(apt_get install -y --no-install-recommends "$1") && return
        log=$(errors "$log")
        [ $fetched = 0 ] || log="$log
apt-get update failed, too:
$(errors "$lists")"
        return 1 ;;
    dnf) log=$(outside dnf install -y "$1" 2>&1 < /dev/null) && return ;;
    zypper) log=$(outside zypper_now install "$1") && return ;;
    esac
    log=$(errors "$log")
    return 1
}

# The service of a package is masked until the package is there: it would start with settings nobody asked for.
mask() {
    [ ! -e "/run/systemd/system/$1" ] && [ ! -L "/run/systemd/system/$1" ] || return 0
    mkdir -p /run/systemd/system /run/kprov && : > "/run/kprov/masked.$1" && ln -s /dev/null "/run/systemd/system/$1"
}

unmask() { # all that is masked, also by an apply that was killed; sets `masked` if there was something
    masked=
    for mark in /run/kprov/masked.*; do
        [ -e "$mark" ] || continue
        rm -f "/run/systemd/system/${mark#/run/kprov/masked.}" "$mark"; masked=yes
    done
}

unmask_now() { unmask; [ -z "$masked" ] || systemctl daemon-reload; }

bring() { # name, command, service, manager, file for a list: sets `log`. Its scripts make folders for others than root
    [ "$3" = - ] || command -v "$2" > /dev/null 2>&1 || mask "$3"
    installed "$4" > "$5"
    umask 022
    # Its scripts would have systemd read all units up to five times. It reads them once, when all is there.
    export SYSTEMD_OFFLINE=1
    install_package "$1" "$4"; brought=$?
    umask 077
    unmask
    if [ $brought = 0 ] && [ "$3" != - ]; then systemctl disable -q "$3" 2> /dev/null; fi
    unset SYSTEMD_OFFLINE
    systemctl daemon-reload 2> /dev/null
    [ $brought = 0 ] || return 1
    if [ -s "$5" ]; then # what it brought along leaves with it, and nothing else does
        mkdir -p $STATE/before && installed "$4" | grep -vxF -f "$5" > "$STATE/before/package.$1"
    fi
}

# Installs beside this exec and the next ones, and is done when nobody holds the lock. What fails, or is cut off, is
# left to `do_package`, which says why.
do_begin_packages() { # manager, packages
    exec 7>> $STATE/packages.lock
    flock -n 7 || return 0 # an earlier one is still at it
    (
        for package in $(words "$2"); do
            name=${package%%:*}; service=${package##*:}; package=${package#*:}
            ! command -v "${package%%:*}" > /dev/null 2>&1 || continue
            bring "$name" "${package%%:*}" "$service" "$1" $STATE/packages.installed || break
        done
        rm -f $STATE/packages.installed
    ) < /dev/null > /dev/null 2>&1 9>&- & # which holds the lock for as long as it lives
    exec 7>&-
}

begun_packages() { # waits until those are there
    [ -e $STATE/packages.lock ] || return 0
    flock -w $PACKAGES_WAIT $STATE/packages.lock true
    rm -f $STATE/packages.lock
}

do_package() { # name, command, service, manager
    begun_packages
    if [ ! -e "$STATE/before/package.$1" ] || ! command -v "$2" > /dev/null 2>&1; then
        wait_for_packages "$4"
        bring "$1" "$2" "$3" "$4" "$stage/installed" || fail "cannot install the package $1: $log"
    fi
    record package "$1" "$2"
}
