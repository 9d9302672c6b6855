settings() { # what decides what units and pods get; one program reads all of it
    asked facts || return 0
    set --
    for path in /proc/self/mountinfo /etc/hostname /etc/resolv.conf /run/systemd/resolve/resolv.conf /etc/fstab \
        /etc/systemd/logind.conf /usr/lib/systemd/logind.conf.d/*.conf /run/systemd/logind.conf.d/*.conf /etc/systemd/logind.conf.d/*.conf \
        /etc/systemd/system.conf /usr/lib/systemd/system.conf.d/*.conf /run/systemd/system.conf.d/*.conf /etc/systemd/system.conf.d/*.conf \
        /usr/lib/sysctl.d/[z-~]*.conf /usr/local/lib/sysctl.d/[z-~]*.conf /run/sysctl.d/[z-~]*.conf /etc/sysctl.d/[z-~]*.conf \
        /sys/fs/selinux/booleans/haproxy_connect_any $(swap_files); do
        [ ! -f "$path" ] || [ ! -r "$path" ] || set -- "$@" "$path"
    done
    # Where kprov has a network, its own routes are most of them, and the kernel is asked for each peer instead.
    [ -e /etc/kprov/network-mode ] || [ ! -r /proc/net/route ] || set -- "$@" /proc/net/route
    services_with_swap
    awk -v masked="$(swap_is_masked && echo yes)" -v folders='/etc /opt/kprov/bin /var/lib/containerd /var/lib/kubelet /var/lib/etcd' '
        function tell(what, value) {print "setting\t" what "\t" value}
        FILENAME == "/proc/self/mountinfo" {
            n = split(folders, folder, " ")
            for (i = 1; i <= n; i++) if ($5 == "/" || index(folder[i] "/", $5 "/") == 1) { # a later mount lies over an earlier one
                if (length($5) >= length(point[i])) {point[i] = $5; for (k = 7; $k != "-"; k++); shared = k > 7 ? $7 : "-"
                    failed = $(k + 3) ~ /^ro(,|$)/ ? ",ro" : "" # what the kernel does after an error, to the file system alone
                    row[i] = folder[i] "\t" $5 "\t" $(k + 1) "\t" $6 failed "\t" shared}}
            next}
        /^[ \t]*([#;]|$)/ {next}
        FILENAME == "/etc/hostname" {if (!named++) tell("hostname", $1); next}
        FILENAME ~ /resolv.conf$/ {
            if ($1 == "nameserver") tell(FILENAME ~ /^.run/ ? "upstream" : "nameserver", $2)
            if ($1 == "search" && FILENAME == "/etc/resolv.conf") {sub(/^[ \t]*search[ \t]+/, ""); tell("search", $0)}
            next}
        FILENAME == "/etc/fstab" {if (!masked && $3 == "swap" && $4 !~ /(^|,)noauto(,|$)/) tell("swap", FILENAME "\t" $1); next}
        FILENAME ~ /zram-generator|[.]swap$/ {if (!seen[FILENAME]++) tell("swap", FILENAME "\t" $0); next}
        FILENAME ~ /logind/ {if ($0 ~ /^[ \t]*InhibitDelayMaxSec[ \t]*=/) {sub(/^[^=]*=[ \t]*/, ""); tell("delay", FILENAME "\t" $0)}; next}
        FILENAME ~ /system[.]conf/ {if ($0 ~ /^[ \t]*DefaultEnvironment.*(http|https|all|HTTP|HTTPS|ALL)_(proxy|PROXY)=/) tell("proxy", FILENAME "\tset"); next}
        FILENAME == "/proc/net/route" {if ($2 ~ /^[0-9A-F]+$/ && told++ < 500) tell("route", $1 " " $2 " " $8); next}
        FILENAME ~ /sysctl[.]d/ { # of files that come after the one of kprov
            n = split(FILENAME, part, "/"); if (part[n] > "zz-kprov.conf" && /=/) tell("sysctl", FILENAME "\t" $0); next}
        FILENAME ~ /booleans/ {n = split(FILENAME, part, "/"); tell("boolean", part[n] " " $1)}
        END {for (i in row) tell("mount", row[i])}' "$@"
}

swap_files() { # what systemd makes swap of at boot besides fstab, unless its swap.target is masked
    ! swap_is_masked || return 0
    for path in /etc/systemd/zram-generator.conf /run/systemd/zram-generator.conf /usr/local/lib/systemd/zram-generator.conf \
        /usr/lib/systemd/zram-generator.conf; do
        [ ! -e "$path" ] || { echo "$path"; break; } # the first one counts, also an empty one
    done
    for folder in /etc /run /usr/local/lib /usr/lib; do echo "$folder/systemd/zram-generator.conf.d/*.conf"; done
    echo '/etc/systemd/system/*.swap' '/run/systemd/generator.late/*.swap' # the latter: partitions that say they are swap
}

swap_is_masked() { [ "$(readlink /etc/systemd/system/swap.target)" = /dev/null ]; }

services_with_swap() { # of packages that switch swap on themselves
    for name in zramswap zram-config zram-swap dphys-swapfile swapspace; do
        for link in /etc/systemd/system/*.wants/$name.service; do
            [ ! -L "$link" ] || say setting swap "$link$T$name.service"
        done
    done
}
