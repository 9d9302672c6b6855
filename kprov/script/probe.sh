# Asks one host everything kprov wants to know, in one exec, and changes nothing.
# Reads query lines (tab separated: kind, name, more) on the here-document that kprov appends; prints framed, tab
# separated lines. Needs a POSIX shell, GNU coreutils, awk, util-linux and systemd. Must not write outside /run.
set -u
export LC_ALL=C TZ=UTC PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
T=$(printf '\t')
STATE=/var/lib/kprov
BIN=/opt/kprov/bin

say() { printf '%s\t%s\t%s\n' "$@"; }

lock_holder() {
    # A run holds run.lock for as long as its connection lives; flock tells, the file only says who.
    [ -e $STATE/run.lock ] || return 0
    if [ -z "$locked" ] && ! flock -n -s $STATE/run.lock true 2>/dev/null; then
        read -r holder < $STATE/run.lock || holder='unknown'
        say fact holder "$holder"
        return 0 # the run that asks will be refused: it need not wait for what the other one is doing
    fi
    # A connection that broke may have left its apply at work: what we see now would be stale in a moment.
    [ -e $STATE/apply.lock ] && { flock -w 60 -s $STATE/apply.lock true 2>/dev/null || say fact applying yes; }
}

facts() {
    say fact clock "$(date +%s.%N)"
    say fact uid "$(id -u)"
    read -r value < /proc/sys/kernel/hostname && say fact hostname "$value"
    value=''; [ -r /etc/machine-id ] && read -r value < /etc/machine-id; say fact machine_id "$value"
    say fact arch "$(uname -m)"
    read -r value < /proc/sys/kernel/osrelease && say fact kernel "$value"
    [ -r /etc/os-release ] && (
        . /etc/os-release
        say fact os_id "${ID:-}"; say fact os_version "${VERSION_ID:-}"; say fact os_like "${ID_LIKE:-}"
    )
    say fact systemd "$(systemctl --version 2>/dev/null | awk 'NR==1 {print $2 + 0}')"
    if [ -f /sys/fs/cgroup/cgroup.controllers ]; then say fact cgroup 2; else say fact cgroup 1; fi
    awk '/^processor/ {n++} END {print "fact\tcpus\t" n + 0}' /proc/cpuinfo
    awk '/^MemTotal:/ {print "fact\tmemory\t" $2 * 1024}' /proc/meminfo
    awk 'END {print "fact\tswap\t" (NR > 1 ? "yes" : "no")}' /proc/swaps
    ip -o link show 2>/dev/null | awk '{for (i = 3; i < NF; i++) if ($i == "mtu") {sub(/[:@].*/, "", $2); print "link\t" $2 "\t" $(i + 1)}}'
    ip -o -4 addr show 2>/dev/null | awk '{print "address\t" $2 "\t" $4}'
    ip -4 route get 203.0.113.1 2>/dev/null | awk 'NR == 1 {for (i = 1; i < NF; i++) {
        if ($i == "dev") print "fact\tdefault_interface\t" $(i + 1); if ($i == "src") print "fact\tdefault_address\t" $(i + 1)}}'
    for folder in /etc /opt /var /var/lib; do
        df -P -k $folder 2>/dev/null | awk -v f=$folder 'NR == 2 {print "disk\t" f "\t" $4 * 1024 " " $2 * 1024}'
    done
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
    for program in bridge NetworkManager nft iptables conntrack ethtool socat curl wget bash haproxy skopeo zstd gzip tar flock openssl sudo modprobe apt-get dnf zypper; do
        command -v $program > /dev/null 2>&1 && say fact command $program
    done
    command -v nft > /dev/null 2>&1 && nft --version 2>/dev/null | awk '{sub(/^v/, "", $2); print "fact\tnft\t" $2}'
    if [ -r /sys/fs/selinux/enforce ]; then read -r value < /sys/fs/selinux/enforce; say fact selinux "$value"; fi
    for path in /etc/rancher /var/lib/rancher /etc/k0s /var/lib/k0s /etc/kubernetes/manifests/kube-apiserver.yaml \
        /etc/systemd/system/k3s.service /etc/systemd/system/kubelet.service /usr/lib/systemd/system/kubelet.service \
        /etc/systemd/system/etcd.service /etc/kubernetes/admin.conf /var/lib/etcd/member /etc/kubernetes/kubelet.conf \
        /var/lib/kubelet/config.yaml; do
        [ -e $path ] && say leftover $path -
    done
    for folder in /var/lib/docker /var/lib/crio; do
        [ -n "$(ls -A $folder 2> /dev/null)" ] && say leftover $folder -
    done
    [ -r $STATE/generation ] && { read -r value < $STATE/generation; say fact generation "$value"; }
}

paths() { # every path to look at: recorded ones and asked ones
    awk -F"$T" '$1 == "file" || $1 == "binary" || $1 == "directory" {print $2}' "$records"
    awk -F"$T" '$1 == "path" {print $2}' "$queries"
}

files() {
    seen=$work/seen
    paths | sort -u | xargs -r -d '\n' stat -c "stat$T%n$T%a$T%U$T%G$T%F$T%i:%s:%.9Y:%.9Z" 2>/dev/null > "$seen"
    cat "$seen"
    # A regular file whose stat line is the recorded one still has the recorded hash: only the others are read.
    awk -F"$T" -v deep="$deep" 'FILENAME == ARGV[1] {if ($4 != "-") known[$2] = $4; next}
        $6 ~ /^regular/ && (deep || !($2 in known) || known[$2] != $7) {print $2}' "$records" "$seen" |
        xargs -r -d '\n' sha256sum 2>/dev/null | awk '{h = $1; sub(/^[^ ]* [ *]/, ""); print "sum\t" $0 "\t" h}'
    { awk -F"$T" '$1 == "file" && $2 ~ /\.crt$/ {print $2}' "$records"
      awk -F"$T" '$1 == "path" && $2 ~ /\.crt$/ {print $2}' "$queries"; } | sort -u | while read -r path; do
        [ -f "$path" ] && say text "$path" "$(base64 -w0 "$path" 2>/dev/null)"
    done
    awk -F"$T" '$1 == "text" {print $2}' "$queries" | while read -r path; do
        [ -f "$path" ] && say text "$path" "$(base64 -w0 "$path" 2>/dev/null)"
    done
}

units() {
    names=$({ awk -F"$T" '$1 == "unit" {print $2}' "$records" "$queries"; } | sort -u)
    # shellcheck disable=SC2086 # unit names have no blanks
    [ -n "$names" ] && systemctl show -p Id,ActiveState,UnitFileState,NeedDaemonReload,LoadState $names 2>/dev/null |
        awk -F= '$1 != "" {v[$1] = $2} $1 == "" || /^$/ {put()} END {put()}
            function put() {if ("Id" in v) print "unit\t" v["Id"] "\t" v["ActiveState"] " " (v["UnitFileState"] == "" ? "-" : v["UnitFileState"]) " " v["NeedDaemonReload"] " " v["LoadState"]; delete v}'
    for stamp in $STATE/stamps/*; do
        [ -f "$stamp" ] && { read -r value < "$stamp"; say stamp "${stamp##*/}" "$value"; }
    done
}

kernel() {
    # The kernel gives a parameter in one read only: `read`, byte by byte, would see its first digit.
    awk -F"$T" '$1 == "sysctl" && !($2 in seen) {seen[$2] = 1; path = $2; gsub(/\./, "/", path); path = "/proc/sys/" path
        if ((getline value < path) > 0) {gsub(/\t/, " ", value); print "sysctl\t" $2 "\t" value}; close(path)}' "$records" "$queries"
    awk -F"$T" '$1 == "module" {print $2}' "$records" "$queries" | sort -u | while read -r name; do
        [ -d "/sys/module/$name" ] && say loaded "$name" yes
    done
}

accounts() {
    awk -F"$T" '$1 == "user" {print $2}' "$records" "$queries" | sort -u | while read -r name; do
        value=$(getent passwd "$name") && say user "$name" "$value"
    done
    awk -F"$T" '$1 == "package" {print $2 "\t" $3}' "$records" "$queries" | while IFS="$T" read -r name program; do
        command -v "$program" > /dev/null 2>&1 && say package "$name" yes
    done
}

reach() { # which files this host can fetch itself; of an origin that does not answer, none is asked
    awk -F"$T" '$1 == "reach" {print $2}' "$queries" > "$work/urls"
    [ -s "$work/urls" ] || return 0
    awk -F/ '{print $1 "//" $3 "/"}' "$work/urls" | sort -u | while read -r origin; do
        awk -v origin="$origin" 'index($0, origin) == 1' "$work/urls" > "$work/these"
        if error=$(answers "$origin"); then files_of_origin
        else while read -r url; do say reach "$url" "$(printf %s "$error" | tr '\t\n' '  ')"; done < "$work/these"; fi
    done
}

answers() { # origin: any answer of a server will do
    if command -v curl > /dev/null 2>&1; then curl -sSI -o /dev/null --connect-timeout 3 --max-time 6 "$1" 2>&1
    elif command -v wget > /dev/null 2>&1; then wget -nv --spider -T 4 -t 1 "$1" 2>&1 || [ $? = 8 ]
    else echo 'neither curl nor wget is installed'; return 1; fi
}

files_of_origin() { # curl asks for all of them over one connection
    if command -v curl > /dev/null 2>&1; then
        sed 's/[\\"]/\\&/g; s/.*/url = "&"\noutput = "\/dev\/null"/' "$work/these" > "$work/config"
        curl -sIL -w '%{http_code}\n' --connect-timeout 3 --max-time 6 -K "$work/config" 2> /dev/null
    else
        while read -r url; do if wget -q --spider -T 4 -t 1 "$url" 2> /dev/null; then echo 200; else echo 000; fi; done < "$work/these"
    fi > "$work/codes"
    paste "$work/these" "$work/codes" | while IFS="$T" read -r url code; do
        case $code in 2??) say reach "$url" yes ;; 000) say reach "$url" 'no answer' ;; *) say reach "$url" "HTTP $code" ;; esac
    done
}

images() { # of each store that an image is recorded or asked in: its socket is the second word of such a name
    awk -F"$T" '$1 == "image" {if (split($2, word, " ") < 2) word[2] = "/run/containerd/containerd.sock"
        if (!(word[2] in seen)) print word[2]; seen[word[2]]}' "$records" "$queries" | while read -r store; do
        [ -S "$store" ] || continue
        suffix=" $store"; [ "$store" != /run/containerd/containerd.sock ] || suffix=
        stored "$store" 2>/dev/null | awk -v s="$suffix" '{print "image\t" $1 s "\t" $2}'
    done
}

stored() { # socket of a store: reference and digest of all it holds
    case ${1##*/} in
    docker.sock) curl -fsS --max-time 5 --unix-socket "$1" http://docker/images/json | grep -o '"RepoTags":\[[^]]*\]' |
        sed 's/^"RepoTags"://' | grep -o '"[^"]*"' | tr -d '"' | sed 's/$/ -/' ;;
    crio.sock) $BIN/crictl --runtime-endpoint "unix://$1" --timeout 5s images | awk 'NR > 1 {print $1 ":" $2, $3}' ;;
    *) $BIN/ctr --address "$1" --connect-timeout 2s -n k8s.io images ls | awk 'NR > 1 {print $1, $3}' ;;
    esac
}

etcd_members() {
    [ -x $BIN/etcdctl ] && [ -d /etc/etcd/pki ] || return 0
    [ -d /var/lib/etcd/member/wal ] && say etcd data yes
    grep -q '^ETCD_JOIN=.' /etc/etcd/join.env 2>/dev/null && say etcd joining yes
    systemctl is-active -q etcd.service || return 0
    value=$(ETCDCTL_API=3 timeout 5 $BIN/etcdctl --endpoints=https://127.0.0.1:2379 --cacert=/etc/etcd/pki/ca.crt \
        --cert=/etc/etcd/pki/healthcheck-client.crt --key=/etc/etcd/pki/healthcheck-client.key \
        --command-timeout=4s member list -w json 2>/dev/null | base64 -w0)
    [ -n "$value" ] && say etcd members "$value"
}

objects() { # the credential arrives in the query and lives in a root-only folder of /run for this moment
    credential=$(awk -F"$T" '$1 == "objects" {print $2}' "$queries")
    selector=$(awk -F"$T" '$1 == "objects" {print $3}' "$queries")
    kinds=$(awk -F"$T" '$1 == "objects" {print $4}' "$queries")
    [ -n "$credential" ] || return 0
    [ -x $BIN/kubectl ] && systemctl is-active -q kube-apiserver.service || return 0
    printf %s "$credential" | base64 -d > "$work/kubeconfig"
    # The list of what kprov made names kinds that only add-ons have.
    more=$(ask_api -n kube-system get configmap kprov-inventory --ignore-not-found -o 'jsonpath={.data.kinds}') ||
        { say objects failed "$(tail -c 2000 "$work/error" | base64 -w0)"; return; }
    kinds=$(printf '%s' "$kinds${more:+,$more}" | tr , '\n' | sort -u | paste -s -d , -)
    until ask_api get "$kinds" -A -l "$selector" -o json > "$work/objects"; do
        # A kind whose definition is gone has no objects.
        unknown=$(sed -n 's/.*have a resource type "\([^"]*\)".*/\1/p' "$work/error" | head -n 1)
        fewer=$(printf '%s' "$kinds" | tr , '\n' | grep -vxF -- "$unknown" | paste -s -d , -)
        if [ -z "$unknown" ] || [ "$fewer" = "$kinds" ]; then
            say objects failed "$(tail -c 2000 "$work/error" | base64 -w0)"; return
        fi
        kinds=$fewer
    done
    say objects found "$(gzip -c "$work/objects" | base64 -w0)"
}

ask_api() { HOME=$work KUBECACHEDIR=/run/kprov/cache timeout 10 $BIN/kubectl --kubeconfig "$work/kubeconfig" --request-timeout=5s "$@" 2> "$work/error"; }

plain_http() { # port, path: 200 on loopback
    if command -v curl > /dev/null 2>&1; then curl -fs -o /dev/null --max-time 2 "http://127.0.0.1:$1$2"
    else bash -c 'exec 3<>"/dev/tcp/127.0.0.1/$1" && printf "GET %s HTTP/1.0\r\nHost: localhost\r\n\r\n" "$2" >&3 &&
        read -t 2 -r _ code _ <&3 && [ "$code" = 200 ]' sh "$1" "$2" 2> /dev/null
    fi
}

healthy() { # component: asks it, as far as it can be asked without rights
    case $1 in
    etcd) plain_http 2381 /readyz ;;
    kube-apiserver) HOME=$work KUBECACHEDIR=/run/kprov/cache timeout 10 $BIN/kubectl --kubeconfig "$work/kubeconfig" get --raw /readyz > /dev/null 2>&1 ;;
    kubelet) plain_http 10248 /healthz ;;
    kube-proxy) plain_http 10256 /healthz ;;
    containerd) timeout 5 $BIN/ctr --connect-timeout 2s version > /dev/null 2>&1 ;;
    dockerd) curl -fsS -o /dev/null --max-time 5 --unix-socket /run/docker.sock http://docker/_ping 2> /dev/null ;;
    crio) timeout 5 $BIN/crictl --runtime-endpoint unix:///run/crio/crio.sock version > /dev/null 2>&1 ;;
    *) systemctl is-active -q "$1.service" ;;
    esac
}

version() { # program, its unit if that has another name: what runs says it of itself, even when the file is another by now
    pid=$(systemctl show -p MainPID --value "${2:-$1}.service" 2>/dev/null)
    exe=$BIN/$1; [ "${pid:-0}" != 0 ] && [ -x "/proc/$pid/exe" ] && exe=/proc/$pid/exe
    [ -x "$exe" ] && say version "${2:-$1}" "$(timeout 10 "$exe" --version 2>/dev/null | head -n 1)"
}

programs() { # those whose version is asked
    awk -F"$T" '$1 == "program" {print $2}' "$queries" | while read -r name; do version "$name"; done
}

status() { # only for `kprov status`: versions and health, which a run does not need
    [ -n "$(awk -F"$T" '$1 == "status" {print 1}' "$queries")" ] || return 0
    for name in etcd kube-apiserver kube-controller-manager kube-scheduler containerd crio dockerd cri-dockerd runc kubelet kube-proxy; do
        version $name
    done
    [ ! -f /etc/systemd/system/dockerd-containerd.service ] || version containerd dockerd-containerd
    for name in $({ printf '%s\n' etcd kube-apiserver kube-controller-manager kube-scheduler containerd kube-api-proxy kprov-network kubelet kube-proxy
        awk -F"$T" '$1 == "unit" {sub(/\.service$/, "", $2); print $2}' "$records"; } | awk '!seen[$0]++'); do
        [ -f "/etc/systemd/system/$name.service" ] || continue
        if healthy "$name"; then say health "$name" ok; else say health "$name" failing; fi
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
    if [ "$(id -u)" = 0 ]; then mkdir -p /run/kprov; work=$(mktemp -d /run/kprov/probe.XXXXXX); else work=$(mktemp -d); fi
    [ -n "$work" ] || exit 70
    # A machine that kprov only looked at keeps nothing of it.
    trap 'rm -rf "$work"; [ -e $STATE ] || rmdir /run/kprov 2> /dev/null' EXIT
    trap 'exit 71' HUP INT TERM PIPE
    queries=$work/queries; cat > "$queries"
    records=$work/records; : > "$records"
    [ -r $STATE/manifest ] && cat $STATE/manifest > "$records"
    deep=$(awk -F"$T" '$1 == "deep" {print 1}' "$queries")
    locked=$(awk -F"$T" '$1 == "locked" {print 1}' "$queries")
    printf 'kprov-probe begin\n'
    lock_holder
    facts
    sed "s/^/record$T/" "$records"
    files
    units
    kernel
    accounts
    reach
    images
    etcd_members
    objects
    programs
    status
    printf 'kprov-probe end\n'
}

