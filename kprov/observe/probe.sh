# Asks one host everything kprov wants to know, in one exec, and changes nothing.
# Reads query lines (tab separated: kind, name, more) on the here-document that kprov appends; prints framed, tab
# separated lines. Needs a POSIX shell, GNU coreutils, awk, util-linux and systemd. Must not write outside /run.
set -u
export LC_ALL=C TZ=UTC PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
T=$(printf '\t')
STATE=/var/lib/kprov
BIN=/opt/kprov/bin

say() { printf '%s\t%s\t%s\n' "$@"; }

sort_out() { # says what is recorded, and lists in a file of $work for each kind what is to be looked at, once
    awk -F"$T" -v work="$work/" '
        function look(kind, what) {if (!((kind, what) in seen)) print what > (work kind); seen[kind, what]}
        FILENAME == ARGV[1] {print "record\t" $0}
        $1 ~ /^(file|binary|directory|path)$/ {look("path", $2)}
        $1 ~ /^(file|path)$/ && $2 ~ /\.crt$/ {look("text", $2)}
        $1 ~ /^(text|unit|sysctl|module|user|holds|reach|resolve|program|facts|deep|locked)$/ {look($1, $2)}
        $1 == "status" {look($1, $2 "\t" $3 "\t" $4 "\t" $5)}
        $1 == "objects" {look($1, $2 "\t" $3 "\t" $4)}
        # The socket of the store an image is in is the second word of its name.
        $1 == "image" {look("store", split($2, word, " ") < 2 ? "/run/containerd/containerd.sock" : word[2])}
    ' "$records" "$queries"
}

outside() { (export "no_proxy=${KPROV_NO_PROXY-}" "NO_PROXY=${KPROV_NO_PROXY-}"; "$@"); } # asks the internet, by the host's proxy if it has one

asked() { [ -s "$work/$1" ]; }

clock() { ! asked facts || say fact "$1" "$(date +%s.%N)"; }

lock_holder() {
    # A run holds run.lock for as long as its connection lives; flock tells, the file only says who.
    [ -e $STATE/run.lock ] || return 0
    if ! asked locked && ! flock -n -s $STATE/run.lock true 2>/dev/null; then
        read -r holder < $STATE/run.lock || holder='unknown'
        say fact holder "$holder"
        return 0 # the run that asks will be refused: it need not wait for what the other one is doing
    fi
    # A connection that broke may have left its apply at work: what we see now would be stale in a moment.
    [ -e $STATE/apply.lock ] && { flock -w 60 -s $STATE/apply.lock true 2>/dev/null || say fact applying yes; }
}

generation() { # of the last run that did something here; and which hosts of which generation a control plane saw well
    [ -r $STATE/generation ] && { read -r value < $STATE/generation; say fact generation "$value"; }
    [ -e $STATE/previous/units ] && [ ! -e $STATE/previous/well ] && say fact unconfirmed yes
    [ -r $STATE/well ] && while read -r name value; do say well "$name" "$value"; done < $STATE/well
}

facts() { # unless they are known from a moment ago
    asked facts || return 0
    say fact uid "$uid"
    read -r value < /proc/sys/kernel/hostname && say fact hostname "$value"
    value=''; [ -r /etc/machine-id ] && read -r value < /etc/machine-id; say fact machine_id "$value"
    say fact arch "$(uname -m)"
    read -r value < /proc/sys/kernel/osrelease && say fact kernel "$value"
    [ -r /etc/os-release ] && (
        . /etc/os-release
        say fact os_id "${ID:-}"; say fact os_version "${VERSION_ID:-}"; say fact os_like "${ID_LIKE:-}"
    )
    systemctl --version 2>/dev/null | { read -r _ value _ && say fact systemd "${value%%[!0-9]*}"; }
    if [ -f /sys/fs/cgroup/cgroup.controllers ]; then say fact cgroup 2; else say fact cgroup 1; fi
    set -- /proc/cpuinfo /proc/meminfo; [ ! -r /proc/swaps ] || set -- "$@" /proc/swaps
    awk '/^processor/ {cpus++} /^MemTotal:/ {memory = $2 * 1024} FILENAME == "/proc/swaps" {swaps++} END {
        print "fact\tcpus\t" cpus + 0; print "fact\tmemory\t" memory; print "fact\tswap\t" (swaps > 1 ? "yes" : "no")}' "$@"
    { ip -o link show; ip -o -4 addr show; ip -4 route get 203.0.113.1; } 2>/dev/null | awk '
        $1 ~ /:$/ && $3 == "inet" {print "address\t" $2 "\t" $4; next}
        $1 ~ /:$/ {for (i = 3; i < NF; i++) if ($i == "mtu") {sub(/[:@].*/, "", $2); print "link\t" $2 "\t" $(i + 1)}; next}
        !route++ {for (i = 1; i < NF; i++) {
            if ($i == "dev") print "fact\tdefault_interface\t" $(i + 1); if ($i == "src") print "fact\tdefault_address\t" $(i + 1)}}'
    # Folders with data only where they are mount points of their own: elsewhere they share the disk of /var/lib.
    df -k --output=file,avail,size,target /etc /opt /var /var/lib /var/lib/etcd /var/lib/kubelet /var/lib/containerd \
        /var/lib/docker /var/lib/crio 2>/dev/null |
        awk 'NR > 1 && (NR < 6 || $1 == $4) {print "disk\t" $1 "\t" $2 * 1024 " " $3 * 1024}'
    ss -Hltunp 2>/dev/null | awk '{n = split($5, a, ":"); p = ""; if (match($0, /users:\(\(".*/)) {
        p = substr($0, RSTART + 9); sub(/".*pid=/, " pid ", p); sub(/,.*/, "", p)}
        print ($1 == "udp" ? "udp" : "listener") "\t" a[n] "\t" substr($5, 1, length($5) - length(a[n]) - 1) " " p}'
    for module in overlay br_netfilter nf_conntrack nf_tables ip_tables vxlan; do
        if [ -d /sys/module/$module ]; then say module $module present
        elif [ $module = overlay ] && grep -qw overlay /proc/filesystems; then say module $module present
        elif [ $module = br_netfilter ] && [ -d /proc/sys/net/bridge ]; then say module $module present
        elif [ $module = nf_conntrack ] && [ -d /proc/sys/net/netfilter ]; then say module $module present
        elif [ $module = vxlan ] && gzip -dc /proc/config.gz 2>/dev/null | grep -qx CONFIG_VXLAN=y; then say module $module present
        elif modprobe -n -q $module 2>/dev/null; then say module $module loadable
        fi
    done
    for program in bridge NetworkManager nft iptables conntrack ethtool socat curl wget bash haproxy skopeo conmon zstd gzip tar flock openssl sudo modprobe apt-get dnf zypper; do
        command -v $program > /dev/null 2>&1 && say fact command $program
    done
    command -v nft > /dev/null 2>&1 && nft --version 2>/dev/null | { read -r _ value _ && say fact nft "${value#v}"; }
    if [ -r /sys/fs/selinux/enforce ]; then read -r value < /sys/fs/selinux/enforce; say fact selinux "$value"; fi
    for path in /etc/rancher /var/lib/rancher /etc/k0s /var/lib/k0s /etc/kubernetes/manifests/kube-apiserver.yaml \
        /etc/systemd/system/k3s.service /etc/systemd/system/kubelet.service /usr/lib/systemd/system/kubelet.service \
        /etc/systemd/system/etcd.service /etc/kubernetes/admin.conf /var/lib/etcd/member /etc/kubernetes/kubelet.conf \
        /var/lib/kubelet/config.yaml; do
        [ -e $path ] && say leftover $path -
    done
}

settings() { # what decides what units and pods get; one program reads all of it
    asked facts || return 0
    set --
    for path in /proc/self/mountinfo /etc/hostname /etc/resolv.conf /run/systemd/resolve/resolv.conf /etc/fstab \
        /etc/systemd/logind.conf /usr/lib/systemd/logind.conf.d/*.conf /run/systemd/logind.conf.d/*.conf /etc/systemd/logind.conf.d/*.conf \
        /etc/systemd/system.conf /usr/lib/systemd/system.conf.d/*.conf /run/systemd/system.conf.d/*.conf /etc/systemd/system.conf.d/*.conf \
        /etc/systemd/zram-generator.conf /etc/systemd/zram-generator.conf.d/*.conf /etc/systemd/system/*.swap /sys/fs/selinux/booleans/haproxy_connect_any; do
        [ ! -f "$path" ] || [ ! -r "$path" ] || set -- "$@" "$path"
    done
    awk -v folders='/etc /opt/kprov/bin /var/lib/containerd /var/lib/kubelet /var/lib/etcd' '
        function tell(what, value) {print "setting\t" what "\t" value}
        FILENAME == "/proc/self/mountinfo" {
            n = split(folders, folder, " ")
            for (i = 1; i <= n; i++) if ($5 == "/" || index(folder[i] "/", $5 "/") == 1) { # a later mount lies over an earlier one
                if (length($5) >= length(point[i])) {point[i] = $5; for (k = 7; $k != "-"; k++); shared = k > 7 ? $7 : "-"
                    row[i] = folder[i] "\t" $5 "\t" $(k + 1) "\t" $6 "\t" shared}}
            next}
        /^[ \t]*([#;]|$)/ {next}
        FILENAME == "/etc/hostname" {if (!named++) tell("hostname", $1); next}
        FILENAME ~ /resolv.conf$/ {
            if ($1 == "nameserver") tell(FILENAME ~ /^.run/ ? "upstream" : "nameserver", $2)
            if ($1 == "search" && FILENAME == "/etc/resolv.conf") {sub(/^[ \t]*search[ \t]+/, ""); tell("search", $0)}
            next}
        FILENAME == "/etc/fstab" {if ($3 == "swap" && $4 !~ /(^|,)noauto(,|$)/) tell("swap", FILENAME "\t" $1); next}
        FILENAME ~ /zram-generator|[.]swap$/ {if (!seen[FILENAME]++) tell("swap", FILENAME "\t" $0); next}
        FILENAME ~ /logind/ {if ($0 ~ /^[ \t]*InhibitDelayMaxSec[ \t]*=/) {sub(/^[^=]*=[ \t]*/, ""); tell("delay", FILENAME "\t" $0)}; next}
        FILENAME ~ /system[.]conf/ {if ($0 ~ /^[ \t]*DefaultEnvironment.*(http|https|all|HTTP|HTTPS|ALL)_(proxy|PROXY)=/) tell("proxy", FILENAME "\tset"); next}
        FILENAME ~ /booleans/ {n = split(FILENAME, part, "/"); tell("boolean", part[n] " " $1)}
        END {for (i in row) tell("mount", row[i])}' "$@"
}

files() {
    asked path || return 0
    seen=$work/seen
    xargs -d '\n' stat -c "stat$T%n$T%a$T%U$T%G$T%F$T%i:%s:%.9Y:%.9Z" < "$work/path" 2>/dev/null > "$seen"
    # A regular file whose stat line is the recorded one still has the recorded hash: only the others are read.
    deep=; ! asked deep || deep=1
    awk -F"$T" -v deep="$deep" -v unread="$work/unread" -v links="$work/links" 'FILENAME == ARGV[1] {if ($4 != "-") known[$2] = $4; next}
        {print} $6 ~ /^symbolic/ {print $2 > links} $6 ~ /^regular/ && (deep || !($2 in known) || known[$2] != $7) {print $2 > unread}' "$records" "$seen"
    ! asked links || while read -r path; do say symlink "$path" "$(printf %s "$(readlink -m "$path")" | tr "$T\n" "  ")"; done < "$work/links"
    asked unread || return 0
    xargs -d '\n' sha256sum < "$work/unread" 2>/dev/null | awk '{h = $1; sub(/^[^ ]* [ *]/, ""); print "sum\t" $0 "\t" h}'
}

contents() { # which folders hold something; what a file system has of its own at its root does not count
    ! asked holds || while read -r folder; do
        for path in "$folder"/* "$folder"/.[!.]*; do
            [ "${path##*/}" != lost+found ] && { [ -e "$path" ] || [ -L "$path" ]; } && say holds "$folder" yes && break
        done
    done < "$work/holds"
}

texts() { # one archive of all of them
    while read -r path; do [ ! -f "$path" ] || printf '%s\n' "$path"; done < "$work/text" > "$work/shown"
    asked shown || return 0
    say texts archive "$(tar -czhf - --hard-dereference -T "$work/shown" 2>/dev/null | base64 -w0)"
}

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

reach() { # which files this host can fetch itself; of an origin that does not answer, none is asked
    asked reach || return 0
    awk -F/ '{print $1 "//" $3 "/"}' "$work/reach" | sort -u | while read -r origin; do
        awk -v origin="$origin" 'index($0, origin) == 1' "$work/reach" > "$work/these"
        if error=$(answers "$origin"); then files_of_origin
        else while read -r url; do say reach "$url" "$(printf %s "$error" | tr '\t\n' '  ')"; done < "$work/these"; fi
    done
}

resolve() { # as the programs of this host would: its hosts file and its name servers
    ! asked resolve || while read -r name; do
        say resolve "$name" "$(timeout 10 getent ahostsv4 "$name" < /dev/null | awk '!seen[$1]++ {printf "%s%s", sep, $1; sep = " "}')"
    done < "$work/resolve"
}

answers() { # origin: any answer of a server will do
    if command -v curl > /dev/null 2>&1; then outside curl -sSI -o /dev/null --connect-timeout 3 --max-time 6 "$1" 2>&1
    elif command -v wget > /dev/null 2>&1; then outside wget -nv --spider -T 4 -t 1 "$1" 2>&1 || [ $? = 8 ]
    else echo 'neither curl nor wget is installed'; return 1; fi
}

files_of_origin() { # curl asks for all of them over one connection
    if command -v curl > /dev/null 2>&1; then
        sed 's/[\\"]/\\&/g; s/.*/url = "&"\noutput = "\/dev\/null"/' "$work/these" > "$work/config"
        outside curl -sIL -w '%{http_code}\n' --connect-timeout 3 --max-time 6 -K "$work/config" 2> /dev/null
    else
        while read -r url; do if outside wget -q --spider -T 4 -t 1 "$url" 2> /dev/null; then echo 200; else echo 000; fi; done < "$work/these"
    fi > "$work/codes"
    paste "$work/these" "$work/codes" | while IFS="$T" read -r url code; do
        case $code in 2??) say reach "$url" yes ;; 000) say reach "$url" 'no answer' ;; *) say reach "$url" "HTTP $code" ;; esac
    done
}

images() { # of each store that an image is recorded or asked in
    ! asked store || while read -r store; do
        [ -S "$store" ] || continue
        suffix=" $store"; [ "$store" != /run/containerd/containerd.sock ] || suffix=
        stored "$store" 2>/dev/null < /dev/null | awk -v s="$suffix" '{print "image\t" $1 s "\t" $2}'
    done < "$work/store"
}

stored() { # socket of a store: reference and digest of all it holds
    case ${1##*/} in
    docker.sock) curl -fsS --max-time 5 --unix-socket "$1" http://docker/images/json | grep -o '"RepoTags":\[[^]]*\]' |
        sed 's/^"RepoTags"://' | grep -o '"[^"]*"' | tr -d '"' | sed 's/$/ -/' ;;
    crio.sock) $BIN/crictl --runtime-endpoint "unix://$1" --timeout 5s images | awk 'NR > 1 {print $1 ":" $2, $3}' ;;
    *) $BIN/ctr --address "$1" --connect-timeout 2s -n k8s.io images ls | awk 'NR > 1 {print $1, $3}' ;;
    esac
}

surroundings() { # of a host of a cluster: what can undo kprov's work though every file and unit of its is in order
    asked facts && [ -e /etc/kprov/network-mode ] || return 0
    say surroundings asked yes
    if command -v nft > /dev/null 2>&1; then nft list tables 2>/dev/null | while read -r _ value; do say table "$value" -; done; fi
    if [ -r /var/lib/kube-proxy/config.yaml ]; then
        while read -r value; do
            [ "$value" = 'mode: iptables' ] && iptables -w -t nat -S KUBE-SERVICES > /dev/null 2>&1 && say table 'iptables KUBE-SERVICES' -
        done < /var/lib/kube-proxy/config.yaml
    fi
    for path in /etc/kprov/cni/net.d/* /etc/cni/net.d/*; do [ -f "$path" ] && say cni "$path" -; done
    [ -r /etc/kprov/network.conf ] || return 0
    # What the kernel answers for the first pod of each peer: asked by the host itself, and by one of its pods.
    pods=; [ ! -e /sys/class/net/cni0 ] || pods=yes
    awk -v pods=$pods -v batch="$work/batch" '
        function first(network,   part, byte) {split(network, part, "/"); split(part[1], byte, "."); return byte[1] "." byte[2] "." byte[3] "." byte[4] + 2}
        $1 == "own" {own = first($2)}
        $1 == "route" {print first($2), $2, $3; to[++peers] = first($2)}
        END {for (i = 1; i <= peers; i++) {print "route get " to[i] > batch; if (pods) print "route get " to[i] " from " own " iif cni0" > batch}}
    ' /etc/kprov/network.conf > "$work/peers"
    asked batch || return 0
    ip -4 -force -batch "$work/batch" 2> /dev/null | awk -v pods=$pods '
        FILENAME == ARGV[1] {network[$1] = $2; gateway[$1] = $3; order[++peers] = $1; next}
        {to = ($1 in network) ? $1 : $2; if (!(to in network)) next; if ($0 ~ / from /) bypod[to] = $0; else byhost[to] = $0}
        END {for (i = 1; i <= peers; i++) {to = order[i]
            print "peer\t" network[to] "\t" gateway[to] "\t" byhost[to] "\t" (pods ? bypod[to] : "?")}}' "$work/peers" -
}

etcd_members() {
    [ -x $BIN/etcdctl ] && [ -d /etc/etcd/pki ] || return 0
    [ -d /var/lib/etcd/member/wal ] && say etcd data yes
    grep -q '^ETCD_JOIN=.' /etc/etcd/join.env 2>/dev/null && say etcd joining yes
    systemctl is-active -q etcd.service || return 0
    say etcd health "$(plain_text 2381 /health | base64 -w0)"
    value=$(ETCDCTL_API=3 timeout 5 $BIN/etcdctl --endpoints=https://127.0.0.1:2379 --cacert=/etc/etcd/pki/ca.crt \
        --cert=/etc/etcd/pki/healthcheck-client.crt --key=/etc/etcd/pki/healthcheck-client.key \
        --command-timeout=4s member list -w json 2>/dev/null | base64 -w0)
    [ -n "$value" ] && say etcd members "$value"
}

objects() { # the credential arrives in the query and lives in a root-only folder of /run for this moment
    asked objects && IFS="$T" read -r credential selector kinds < "$work/objects" || return 0
    [ -x $BIN/kubectl ] && systemctl is-active -q kube-apiserver.service || return 0
    printf %s "$credential" | base64 -d > "$work/kubeconfig"
    # The list of what kprov made names kinds that only add-ons have.
    more=$(ask_api -n kube-system get configmap kprov-inventory --ignore-not-found -o 'jsonpath={.data.kinds}') ||
        { say objects failed "$(tail -c 2000 "$work/error" | base64 -w0)"; return; }
    kinds=$(printf '%s' "$kinds${more:+,$more}" | tr , '\n' | sort -u | paste -s -d , -)
    until ask_api get "$kinds" -A -l "$selector" -o json > "$work/found"; do
        # A kind whose definition is gone has no objects.
        unknown=$(sed -n 's/.*have a resource type "\([^"]*\)".*/\1/p' "$work/error" | head -n 1)
        fewer=$(printf '%s' "$kinds" | tr , '\n' | grep -vxF -- "$unknown" | paste -s -d , -)
        if [ -z "$unknown" ] || [ "$fewer" = "$kinds" ]; then
            say objects failed "$(tail -c 2000 "$work/error" | base64 -w0)"; return
        fi
        kinds=$fewer
    done
    say objects found "$(gzip -c "$work/found" | base64 -w0)"
    # Users' own, by namespace: on some networks nothing enforces them.
    namespaces='jsonpath={range .items[*]}{.metadata.namespace}{"\n"}{end}'
    policies=$(ask_api get networkpolicies.networking.k8s.io -A -o "$namespaces") && [ -n "$policies" ] &&
        say objects policies "$(printf '%s\n' "$policies" | sort | uniq -c | awk '{print $2, $1}' | base64 -w0)"
    return 0
}

ask_api() { HOME=$work KUBECACHEDIR=/run/kprov/cache timeout 10 $BIN/kubectl --kubeconfig "$work/kubeconfig" --request-timeout=5s "$@" 2> "$work/error"; }

plain_http() { # port, path: 200 on loopback
    if command -v curl > /dev/null 2>&1; then curl -fs -o /dev/null --max-time 2 "http://127.0.0.1:$1$2"
    else bash -c 'exec 3<>"/dev/tcp/127.0.0.1/$1" && printf "GET %s HTTP/1.0\r\nHost: localhost\r\n\r\n" "$2" >&3 &&
        read -t 2 -r _ code _ <&3 && [ "$code" = 200 ]' sh "$1" "$2" 2> /dev/null
    fi
}

plain_text() { # port, path: what loopback answers, whatever its code
    if command -v curl > /dev/null 2>&1; then curl -s --noproxy '*' --max-time 6 "http://127.0.0.1:$1$2"
    else timeout 6 bash -c 'exec 3<>"/dev/tcp/127.0.0.1/$1" && printf "GET %s HTTP/1.0\r\nHost: localhost\r\n\r\n" "$2" >&3 &&
        sed "1,/^\r*$/d" <&3' sh "$1" "$2" 2> /dev/null
    fi
}

healthy() { # unit, kind of question, its argument: as far as it can be asked without rights
    # shellcheck disable=SC2086 # an argument is words
    case $2 in
    http) plain_http $3 ;;
    api) HOME=$work KUBECACHEDIR=/run/kprov/cache timeout 10 $BIN/kubectl --kubeconfig "$work/kubeconfig" get --raw "$3" > /dev/null 2>&1 ;;
    socket) curl -fsS -o /dev/null --max-time 5 --unix-socket $3 2> /dev/null ;;
    command) timeout 5 $BIN/$3 > /dev/null 2>&1 ;;
    *) systemctl is-active -q "$1.service" ;;
    esac
}

version() { # unit, program: what runs says it of itself, even when the file is another by now
    pid=$(systemctl show -p MainPID --value "$1.service" 2>/dev/null)
    exe=$BIN/$2; [ "${pid:-0}" != 0 ] && [ -x "/proc/$pid/exe" ] && exe=/proc/$pid/exe
    [ -x "$exe" ] && say version "$1" "$(timeout 10 "$exe" --version 2>/dev/null | head -n 1)"
}

programs() { # those whose version is asked
    ! asked program || while read -r name; do version "$name" "$name" < /dev/null; done < "$work/program"
}

status() { # only for `kprov status`: versions and health of components, which a run does not need
    asked status || return 0
    # Units of an older kprov are not asked for, but recorded.
    awk -F"$T" -v OFS="$T" '$1 == "unit" {sub(/\.service$/, "", $2); print $2, "-", "active", "-"}' "$records" |
        cat "$work/status" - | awk -F"$T" '!seen[$1]++' | while IFS="$T" read -r name program kind argument; do
        [ -f "/etc/systemd/system/$name.service" ] || continue
        [ "$program" = - ] || version "$name" "$program" < /dev/null
        if healthy "$name" "$kind" "$argument" < /dev/null; then say health "$name" ok; else say health "$name" failing; fi
    done
    if [ -d /etc/etcd/pki ] && [ -x $BIN/etcdctl ]; then
        value=$(timeout 5 $BIN/etcdctl --endpoints=https://127.0.0.1:2379 --cacert=/etc/etcd/pki/ca.crt \
            --cert=/etc/etcd/pki/healthcheck-client.crt --key=/etc/etcd/pki/healthcheck-client.key \
            --command-timeout=4s endpoint status -w json 2>/dev/null | base64 -w0)
        [ -n "$value" ] && say etcd status "$value"
    fi
}

main() {
    umask 077
    uid=$(id -u)
    if [ "$uid" = 0 ]; then mkdir -p /run/kprov; work=$(mktemp -d /run/kprov/probe.XXXXXX); else work=$(mktemp -d); fi
    [ -n "$work" ] || exit 70
    # A machine that kprov only looked at keeps nothing of it.
    trap 'rm -rf "$work"; [ -e $STATE ] || rmdir /run/kprov 2> /dev/null' EXIT
    trap 'exit 71' HUP INT TERM PIPE
    queries=$work/queries; cat > "$queries"
    records=$work/records; : > "$records"
    [ -r $STATE/manifest ] && cat $STATE/manifest > "$records"
    printf 'kprov-probe begin\n'
    sort_out
    clock clock # before any waiting, and once more after it: the middle of both is compared with the operator's
    lock_holder
    generation
    facts
    settings
    files
    contents
    texts
    units
    kernel
    accounts
    reach
    resolve
    images
    surroundings
    etcd_members
    objects
    programs
    status
    clock clock_end
    printf 'kprov-probe end\n'
}

