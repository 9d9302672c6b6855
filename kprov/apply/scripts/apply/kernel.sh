do_module() { # name
    log=$(modprobe "$1" 2>&1) || [ -d "/sys/module/$1" ] || fail "cannot load kernel module $1: $log"
    record module "$1" -
}

# What came to the host later may need by now what was off before kprov came: Docker, libvirt, a VPN.
forwards_for() { # their links
    grep -lxE 'DEVTYPE=(bridge|wireguard)' /sys/class/net/*/uevent 2> /dev/null | awk -F/ '$5 != "cni0" {print $5}'
    for path in /sys/class/net/*/tun_flags; do [ ! -e "$path" ] || printf '%s\n' "$path" | cut -d / -f 5; done
}

do_remove_module() { # name, before
    # One that is in use stays by itself; nothing says who uses this one.
    if [ "$2" = absent ] && { [ "$1" != br_netfilter ] || [ -z "$(forwards_for)" ]; }; then
        modprobe -r "$1" 2> /dev/null
    fi
    forget module "$1"
}

set_sysctl() { printf '%s\n' "$2" > "/proc/sys/$(printf %s "$1" | tr . /)"; }

do_sysctl() { # name, value
    log=$(set_sysctl "$1" "$2" 2>&1) || fail "cannot set sysctl $1 to $2: $log"
    record sysctl "$1" "$2"
}

do_remove_sysctl() { # name, before
    case $1:$2 in
    net.ipv4.ip_forward:0 | net.bridge.*:0)
        links=$(forwards_for | paste -s -d ' ' -)
        if [ -n "$links" ]; then
            note "$1 stays 1, though it was 0 before kprov came: $links may need it"
            forget sysctl "$1"
            return 0
        fi ;;
    esac
    if [ "$2" != absent ]; then set_sysctl "$1" "$2" 2> /dev/null; fi
    forget sysctl "$1"
}

SWAP='^[^#[:space:]]+[[:space:]]+[^[:space:]]+[[:space:]]+swap[[:space:]]' # a line of fstab

do_swapoff() {
    log=$(swapoff -a 2>&1) || fail "cannot switch swap off: $log"
    if [ -f /etc/fstab ] && grep -Eq "$SWAP" /etc/fstab; then
        [ -e $STATE/before/etc/fstab ] || { mkdir -p $STATE/before/etc && cp -a /etc/fstab $STATE/before/etc/fstab; }
        sed -E "/$SWAP/s/^/# kprov: /" /etc/fstab > "$stage/fstab" &&
            staged "$stage/fstab" /etc/fstab root root 0644 && sync /etc/fstab.kprov-new &&
            mv -f /etc/fstab.kprov-new /etc/fstab || fail 'cannot take swap out of /etc/fstab'
    fi
    # Generators of units know more: zram-generator's file, and, once fstab names no swap, partitions of that type.
    if [ "$(systemctl is-enabled swap.target 2> /dev/null)" != masked ]; then
        mkdir -p $STATE/before && : > $STATE/before/swap.target
        log=$(systemctl mask swap.target 2>&1) ||
            fail "cannot keep swap off at the next boot (systemctl mask swap.target): $log"
    fi
    record swap off off
}

do_remove_swapoff() { # before: what /proc/swaps listed, blanks between
    if [ -e $STATE/before/etc/fstab ]; then
        cp -a $STATE/before/etc/fstab /etc/fstab && rm -f $STATE/before/etc/fstab
    fi
    if [ -e $STATE/before/swap.target ]; then
        log=$(systemctl unmask swap.target 2>&1) || fail "cannot give swap.target back: $log"
        rm -f $STATE/before/swap.target
    fi
    for device in $1; do [ "$device" = none ] || swapon "$device" 2> /dev/null; done
    forget swap off
}
