installed() { if [ "$1" = apt ]; then dpkg-query -W -f '${Package}\n' 2> /dev/null | sort -u; fi; }

do_remove_package() { # name, before, manager
    begun_packages
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
