do_user() { # name, home
    getent group "$1" > /dev/null || log=$(groupadd --system "$1" 2>&1) || fail "cannot make group $1: $log"
    getent passwd "$1" > /dev/null ||
        log=$(useradd --system --gid "$1" --comment "$MARK" --home-dir "$2" --no-create-home \
            --shell /usr/sbin/nologin "$1" 2>&1) ||
        fail "cannot make user $1: $log"
    record user "$1" marked
}

MARK='made by kprov' # what an account says of itself that kprov made, and none that somebody made meanwhile

do_remove_user() { # name, before, value
    forget user "$1"
    # shellcheck disable=SC2086 # of the account and of its group; an older kprov knew one word for both
    set -- "$1" "$3" $2
    if [ "$3" = absent ] && { [ "$2" != marked ] || [ "$(getent passwd "$1" | cut -d : -f 5)" = "$MARK" ]; }; then
        # userdel takes the group of that name along, unless the account is not in it.
        [ "${4:-$3}" = absent ] || usermod -g 0 "$1" 2> /dev/null
        userdel "$1" 2> /dev/null
    fi
    # Of an account that stays the group stays, too: groupdel refuses it.
    [ "${4:-$3}" = present ] || groupdel "$1" 2> /dev/null
    return 0
}

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

unmask() { # all that is masked, also by an apply that was killed
    masked=
    for mark in /run/kprov/masked.*; do
        [ -e "$mark" ] || continue
        rm -f "/run/systemd/system/${mark#/run/kprov/masked.}" "$mark"; masked=1
    done
    [ -z "$masked" ] || systemctl daemon-reload
}

do_package() { # name, command, service, manager: its scripts make folders for others than root
    [ "$3" = - ] || command -v "$2" > /dev/null 2>&1 || mask "$3"
    installed "$4" > "$stage/installed"
    wait_for_packages "$4"
    umask 022
    install_package "$1" "$4" || fail "cannot install the package $1: $log"
    umask 077
    unmask
    if [ "$3" != - ]; then systemctl disable -q --now "$3" 2> /dev/null; fi
    if [ -s "$stage/installed" ]; then # what it brought along leaves with it, and nothing else does
        mkdir -p $STATE/before && installed "$4" | grep -vxF -f "$stage/installed" > "$STATE/before/package.$1"
    fi
    record package "$1" "$2"
}

installed() { if [ "$1" = apt ]; then dpkg-query -W -f '${Package}\n' 2> /dev/null | sort -u; fi; }

do_remove_package() { # name, before, manager
    if [ "$2" = absent ]; then
        # What systemd-tmpfiles made for the package stays until the next boot, though its owner is gone.
        made=$(awk '$1 == "d" {print $2}' "/usr/lib/tmpfiles.d/$1.conf" 2> /dev/null)
        wait_for_packages "$3"
        # What something else needs by now stays: the managers would take that along.
        case $3 in
        apt) log=$(purge_packages "$STATE/before/package.$1") ;;
        dnf) ! rpm -e --test "$1" > /dev/null 2>&1 || log=$(dnf remove -y "$1" 2>&1 < /dev/null) ;;
        zypper) # 104: it is not there
            ! rpm -e --test "$1" > /dev/null 2>&1 || log=$(zypper_now remove --clean-deps "$1") || [ $? = 104 ] ;;
        esac || fail "cannot remove the package $1: $(errors "$log")"
        command -v "$1" > /dev/null 2>&1 || for folder in $made; do rmdir "$folder" 2> /dev/null; done
    fi
    forget package "$1"
}

purge_packages() { # list of what kprov's installation brought; none when that failed and somebody did it by hand
    [ -s "$1" ] || return 0
    # shellcheck disable=SC2046 # names of packages have no blanks
    set -- "$1" $(cat "$1")
    if takes_others "$@"; then
        brought=$1; shift
        for package in "$@"; do
            shift
            takes_others "$brought" "$package" || set -- "$@" "$package"
        done
        set -- "$brought" "$@"
    fi
    shift
    [ $# = 0 ] || apt_get purge -y "$@"
}

takes_others() { # list, packages: whether packages that are not in the list would go with them
    brought=$1; shift
    apt_get -s purge -y "$@" | awk '$1 == "Purg" || $1 == "Remv" {print $2}' | grep -qvxF -f "$brought"
}
