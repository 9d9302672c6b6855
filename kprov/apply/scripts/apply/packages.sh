do_user() { # name, home
    getent passwd "$1" > /dev/null ||
        log=$(useradd --system --user-group --home-dir "$2" --no-create-home --shell /usr/sbin/nologin "$1" 2>&1) ||
        fail "cannot make user $1: $log"
    record user "$1" -
}

do_remove_user() { # name, before
    if [ "$2" = absent ]; then userdel "$1" 2> /dev/null; groupdel "$1" 2> /dev/null; fi
    forget user "$1"
}

do_package() { # name, command, service, manager: its scripts make folders for others than root
    if [ "$3" != - ] && ! command -v "$2" > /dev/null 2>&1; then
        # The package would start its service with a configuration nobody asked for.
        mkdir -p /run/systemd/system && ln -sf /dev/null "/run/systemd/system/$3"
    fi
    installed "$4" > "$stage/installed"
    case $4 in
    apt) log=$(umask 022; export DEBIAN_FRONTEND=noninteractive
        apt-get install -y --no-install-recommends "$1" 2>&1 < /dev/null ||
        { apt-get update && apt-get install -y --no-install-recommends "$1"; } 2>&1 < /dev/null) ;;
    dnf) log=$(umask 022; dnf install -y "$1" 2>&1 < /dev/null) ;;
    zypper) log=$(umask 022; zypper --non-interactive install "$1" 2>&1 < /dev/null) ;;
    esac || fail "cannot install the package $1: $(printf %s "$log" | tail -n 5)"
    if [ "$3" != - ]; then
        rm -f "/run/systemd/system/$3"
        systemctl daemon-reload
        systemctl disable -q --now "$3" 2> /dev/null
    fi
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
        case $3 in
        apt) # shellcheck disable=SC2046 # names of packages have no blanks
            DEBIAN_FRONTEND=noninteractive apt-get purge -y "$1" $(cat "$STATE/before/package.$1" 2> /dev/null) \
                > /dev/null 2>&1 < /dev/null ;;
        dnf) dnf remove -y "$1" > /dev/null 2>&1 < /dev/null ;;
        zypper) zypper --non-interactive remove --clean-deps "$1" > /dev/null 2>&1 < /dev/null ;;
        esac
        for folder in $made; do rmdir "$folder" 2> /dev/null; done
    fi
    forget package "$1"
}
