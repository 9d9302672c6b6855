# Carries out one stage on one host: reads tab separated operations from $1/ops, payload from $1/payload.
# It decides nothing: every operation was planned. What it must keep, whenever it is killed: no half file in place,
# every managed thing recorded before it is made, and no stamp that vouches for inputs that changed.
set -u
export LC_ALL=C TZ=UTC PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
umask 077
T=$(printf '\t')
STATE=/var/lib/kprov
BIN=/opt/kprov/bin
stage=$1

say() { printf '%s\t%s\t-\n' "$1" "$2"; }

fail() { # what happened, with a log: ends the program, the manifest is written first
    printf 'fail\t%s\t%s\n' "$number" "$(printf %s "$1" | base64 -w0)"
    exit 1
}

before() { # what was there before kprov came, told once, at the first touch
    case $1 in
    file | binary)
        if [ -e "$2" ] || [ -L "$2" ]; then
            mkdir -p "$STATE/before${2%/*}" && cp -a "$2" "$STATE/before$2" && echo saved
        else echo absent; fi ;;
    directory) if [ -d "$2" ]; then stat -c 'present %a %U %G' "$2"; else echo absent; fi ;;
    sysctl) tr '\t' ' ' < "/proc/sys/$(printf %s "$2" | tr . /)" 2> /dev/null || echo absent ;;
    module) if [ -d "/sys/module/$2" ]; then echo present; else echo absent; fi ;;
    user) if getent passwd "$2" > /dev/null; then echo present; else echo absent; fi ;;
    package) if command -v "$3" > /dev/null 2>&1; then echo present; else echo absent; fi ;;
    unit) if systemctl is-enabled -q "$2" 2> /dev/null; then echo enabled; else echo absent; fi ;;
    swap) awk 'NR > 1 {printf "%s%s", sep, $1; sep = " "} END {if (NR < 2) printf "none"; print ""}' /proc/swaps ;;
    *) echo absent ;;
    esac
}

announce() { # write-ahead: what is about to be made is in the manifest before it exists
    awk -F"$T" 'FILENAME == ARGV[1] {known[$1, $2]; next} !(($1, $2) in known)' $STATE/manifest "$stage/announce" > "$stage/unknown"
    [ -s "$stage/unknown" ] || return 0
    new=$stage/new; : > "$new"
    while IFS="$T" read -r kind name value; do
        { printf '%s\t%s\t%s\t-\t' "$kind" "$name" "$value" && before "$kind" "$name" "$value"; } >> "$new" || return 1
    done < "$stage/unknown"
    cat $STATE/manifest "$new" > $STATE/manifest.new && sync $STATE/manifest.new && mv -f $STATE/manifest.new $STATE/manifest
}

record() { printf '%s\t%s\t%s\n' "$1" "$2" "$3" >> "$stage/done"; } # kind, name, hash or value
forget() { printf '%s\t%s\tgone\n' "$1" "$2" >> "$stage/gone"; }

write_manifest() { # hashes and stat lines of what was done; lines of what is gone are left out
    [ -s "$stage/done" ] || [ -s "$stage/gone" ] || return 0
    touch "$stage/done" "$stage/gone"
    awk -F"$T" '$1 == "file" || $1 == "binary" {print $2}' "$stage/done" | sort -u |
        xargs -r -d '\n' stat -c "%n$T%i:%s:%.9Y:%.9Z" > "$stage/stats" 2> /dev/null
    awk -F"$T" -v OFS="$T" -v stats="$stage/stats" -v made="$stage/done" -v gone="$stage/gone" '
        BEGIN { while ((getline < stats) > 0) stat[$1] = $2
                while ((getline < made) > 0) value[$1, $2] = $3
                while ((getline < gone) > 0) left[$1, $2] = 1 }
        ($1, $2) in left {next}
        ($1, $2) in value {$3 = value[$1, $2]; $4 = ($2 in stat) ? stat[$2] : "-"}
        {print}' $STATE/manifest > $STATE/manifest.new &&
        sync $STATE/manifest.new && mv -f $STATE/manifest.new $STATE/manifest
    : > "$stage/done"; : > "$stage/gone"
}

end() {
    status=$?
    trap '' HUP INT TERM PIPE
    write_manifest
    rm -rf "$stage"
    exit $status
}

gone() { rm -rf $STATE; } # after `down`: the last of it

# Files go into place in groups, so that many cost hardly more programs than one: each is complete, with owner and mode,
# in a folder `.kprov-new` beside its place and on the disk, before it gets its name (-Z: with its place's SELinux label).
do_file() { # payload, path, owner, group, mode, sha256
    printf '%s\t%s\t%s\t%s\tfile\t%s\t%s\t%s\n' "$number" "${2%/*}" "${2##*/}" "$6" "$3:$4" "$5" "$stage/payload/$1" >> "$stage/pending"
}

fresh() { # folders: the `.kprov-new` of each, remembered until it is gone
    for into in "$@"; do
        shift
        if [ -e "$into/.kprov-new" ]; then
            ! grep -qxF "$into" "$STATE/unfinished" 2> /dev/null || continue
            rm -rf "$into/.kprov-new" || return 1
        fi
        printf '%s\n' "$into" >> $STATE/unfinished && set -- "$@" "$into/.kprov-new" || return 1
    done
    [ $# = 0 ] || mkdir "$@"
}

sweep() { # what an apply that was cut off, or failed, left beside its places
    [ -e $STATE/unfinished ] || return 0
    sed 's,$,/.kprov-new,' $STATE/unfinished | xargs -r -d '\n' rm -rf && rm -f $STATE/unfinished
}

place() { # every file since the last call
    [ -s "$stage/pending" ] || return 0
    sort -t "$T" -k 2,2 -s -o "$stage/pending" "$stage/pending"
    permit
    by_folder open_folder
    # shellcheck disable=SC2086 # names of folders have no blanks
    log=$(fresh $folders 2>&1) || blame "$log"
    by_folder stage_files
    log=$(awk -F"$T" '{print $2 "/.kprov-new/" $3}' "$stage/pending" | xargs -d '\n' sync 2>&1) || blame "the disk did not take the data: $log"
    by_folder name_files
    sweep
    while IFS="$T" read -r number folder name hash kind _; do
        record "$kind" "$folder/$name" "$hash"
        say ok "$number"
    done < "$stage/pending"
    : > "$stage/pending"
}

permit() { # owner and mode, each kind of them once
    cut -f 6,7 "$stage/pending" | sort -u > "$stage/permissions"
    while IFS="$T" read -r owner mode; do
        case $owner:$mode in -:* | root:root:0600) continue ;; esac # as they arrived
        awk -F"$T" -v o="$owner" -v m="$mode" '$6 == o && $7 == m {print $8}' "$stage/pending" > "$stage/these"
        log=$({ [ "$owner" = root:root ] || xargs -d '\n' chown "$owner" < "$stage/these"; } 2>&1 &&
            xargs -d '\n' chmod "$mode" < "$stage/these" 2>&1) || blame "$log"
    done < "$stage/permissions"
}

by_folder() { # function: called with each folder of the pending files and the files
    last=; step=$1; folders=; set --
    while IFS="$T" read -r _ folder name _ _ _ _ payload; do
        if [ "$folder" != "$last" ] && [ -n "$last" ]; then "$step" "$last" "$@"; set --; fi
        last=$folder
        case $step in
        open_folder | stage_files) [ "$payload" = - ] || set -- "$@" "$payload" ;;
        *) set -- "$@" "$folder/.kprov-new/$name" ;;
        esac
    done < "$stage/pending"
    "$step" "$last" "$@"
}

open_folder() { [ $# = 1 ] || folders="$folders $1"; } # folder, payload files

stage_files() { # folder, payload files
    into=$1; shift
    [ $# -gt 0 ] || return 0
    log=$(mv -fZ -t "$into/.kprov-new" "$@" 2>&1) || blame "$log"
}

name_files() { # folder, complete files
    into=$1; shift
    for file in "$@"; do
        if [ -d "$into/${file##*/}" ] && [ ! -L "$into/${file##*/}" ]; then rm -rf "${into:?}/${file##*/}"; fi
    done
    log=$(mv -fZ -t "$into" "$@" 2>&1) || blame "$log"
}

blame() { # log: the operation it is about is the one whose file it names, else the first
    number=
    while IFS="$T" read -r pending folder name _; do
        number=${number:-$pending}
        case $1 in *"$folder/.kprov-new/$name"* | *"/$name'"*) number=$pending; break ;; esac
    done < "$stage/pending"
    sweep
    fail "cannot write: $1"
}

staged() { # content, path, owner, group, mode: a complete file beside its place, owner and mode set before content
    rm -f "$2.kprov-new"
    : > "$2.kprov-new" && chown "$3:$4" "$2.kprov-new" && chmod "$5" "$2.kprov-new" && cat "$1" > "$2.kprov-new"
}

do_mode() { # path, owner, group, mode
    log=$(chown "$2:$3" "$1" 2>&1 && chmod "$4" "$1" 2>&1) || fail "cannot set owner and mode of $1: $log"
    record_same "$1"
}

record_same() { # the content is as recorded, the inode's times moved
    hash=$(awk -F"$T" -v p="$1" '($1 == "file" || $1 == "binary") && $2 == p {print $3}' $STATE/manifest)
    kind=$(awk -F"$T" -v p="$1" '($1 == "file" || $1 == "binary") && $2 == p {print $1}' $STATE/manifest)
    if [ -n "$kind" ]; then record "$kind" "$1" "$hash"; fi
}

do_adopt() { # kind, name, hash: it is right already and only has to be recorded
    record "$1" "$2" "$3"
}

do_directory() { # path, owner, group, mode, purge or keep: what `down` does with its content
    if [ -e "$1" ] && [ ! -d "$1" ]; then rm -f "$1"; fi
    printf '%s\t%s\t%s\n' "$number" "$1" "$5" >> "$stage/directories"
}

make_directories() { # those since the last call, all with the same owner and mode: one program for all of them
    [ -s "$stage/directories" ] || return 0
    current=$number
    # shellcheck disable=SC2086 # owner, group, mode
    set -- $permission; owner=$1 group=$2 mode=$3; set --
    while IFS="$T" read -r number path _; do set -- "$@" "$path"; done < "$stage/directories"
    if ! log=$(install -d -o "$owner" -g "$group" -m "$mode" "$@" 2>&1); then
        while IFS="$T" read -r number path _; do
            [ -d "$path" ] || break
            case $log in *"'$path'"*) break ;; esac
        done < "$stage/directories"
        fail "cannot make directory $path: $log"
    fi
    while IFS="$T" read -r number path content; do
        record directory "$path" "$content"
        say ok "$number"
    done < "$stage/directories"
    : > "$stage/directories"; number=$current
}

fetch() { # url, file
    # What stands still for half a minute is given up.
    if command -v curl > /dev/null 2>&1; then curl -fsSL --retry 2 --connect-timeout 10 -Y 1000 -y 30 -o "$2" "$1"
    else wget -nv -T 20 -t 3 -O "$2" "$1"; fi
}

obtain() { # payload file name or URL, sha256 of the download: sets `source`; an archive is downloaded once for all of it
    case $1 in
    http://* | https://*) source=$stage/$2; [ -e "$source" ] || download "$1" "$source" "$2" ;;
    *) source=$stage/payload/$1 ;;
    esac
}

download() { # url, file, sha256
    log=$(fetch "$1" "$2" 2>&1) || give_up "cannot download $1: $log
Nothing of it was installed. The same command tries again; with artifacts.delivery: push it is sent over SSH instead."
    sha256 "$2"
    [ "$found" = "$3" ] || give_up "the download of $1 has sha256 $found, needed $3: nothing of it was installed
Find out why that server has another file. With artifacts.delivery: push the verified one is sent over SSH instead."
}

give_up() { # what came before is in order: it goes into place, and does not have to come again
    current=$number; place; number=$current; fail "$1"
}

sha256() { # file: sets `found`; OpenSSL uses the processor's own instructions for it, which coreutils may not
    if command -v openssl > /dev/null 2>&1; then found=$(openssl dgst -sha256 -r "$1"); else found=$(sha256sum "$1"); fi
    found=${found%% *}
}

unpack() { # file, encoding, member, out: a raw file is moved, and only copied where it is on another file system
    case $2 in
    raw) mv -fZ "$1" "$4" ;;
    gzip) gzip -dc "$1" > "$4" ;;
    archive) tar -xzOf "$1" "$3" > "$4" ;;
    esac
}

do_binary() { # path, mode, sha256, source (payload file name or URL), encoding, member, sha256 of the download
    obtain "$4" "$7"
    folder=${1%/*}; new=$folder/.kprov-new/${1##*/}
    log=$({ { [ -d "$folder" ] || mkdir -p "$folder"; } && fresh "$folder" && unpack "$source" "$5" "$6" "$new"; } 2>&1) ||
        { sweep; fail "cannot write $1: $log"; }
    [ "$5" != gzip ] || rm -f "$source"
    sha256 "$new"
    if [ "$found" != "$3" ]; then sweep; fail "$1 arrived with sha256 $found, needed $3: nothing was installed"; fi
    chmod "$2" "$new" || fail "cannot set the mode of $1"
    printf '%s\t%s\t%s\t%s\tbinary\t-\t-\t-\n' "$number" "$folder" "${1##*/}" "$3" >> "$stage/pending"
}

do_remove() { # kind, path, before
    rm -f "$2"
    if [ "$3" = saved ] && [ -e "$STATE/before$2" ]; then
        cp -a "$STATE/before$2" "$2.kprov-new" && mv -fT "$2.kprov-new" "$2" && rm -f "$STATE/before$2"
    fi
    forget "$1" "$2"
}

do_remove_directory() { # path, before (absent, or: present MODE OWNER GROUP), purge
    case $2 in
    absent) if [ "$3" = purge ]; then purge "$1"; else rmdir "$1" 2> /dev/null; fi ;;
    present*)
        if [ "$3" = purge ]; then find "$1" -mindepth 1 -maxdepth 1 -exec rm -rf --one-file-system {} + 2> /dev/null; fi
        # shellcheck disable=SC2086 # three words
        set -- "$1" ${2#present }; chown "$3:$4" "$1" && chmod "$2" "$1" ;;
    esac
    forget directory "$1"
}

purge() { # a folder may be a mount point of its own: then it is emptied and stays
    rm -rf --one-file-system "$1" 2> /dev/null
    if [ -d "$1" ]; then find "$1" -mindepth 1 -maxdepth 1 -exec rm -rf --one-file-system {} + 2> /dev/null; fi
}

do_user() { # name, home
    getent passwd "$1" > /dev/null ||
        log=$(useradd --system --user-group --home-dir "$2" --no-create-home --shell /usr/sbin/nologin "$1" 2>&1) || fail "cannot make user $1: $log"
    record user "$1" -
}

do_remove_user() { if [ "$2" = absent ]; then userdel "$1" 2> /dev/null; groupdel "$1" 2> /dev/null; fi; forget user "$1"; }

do_package() { # name, command, its own service, manager
    if [ "$3" != - ] && ! command -v "$2" > /dev/null 2>&1; then
        # The package would start its service with a configuration nobody asked for.
        mkdir -p /run/systemd/system && ln -sf /dev/null "/run/systemd/system/$3"
    fi
    installed "$4" > "$stage/installed"
    case $4 in
    apt) log=$(export DEBIAN_FRONTEND=noninteractive; apt-get install -y --no-install-recommends "$1" 2>&1 < /dev/null ||
        { apt-get update && apt-get install -y --no-install-recommends "$1"; } 2>&1 < /dev/null) ;;
    dnf) log=$(dnf install -y "$1" 2>&1 < /dev/null) ;;
    zypper) log=$(zypper --non-interactive install "$1" 2>&1 < /dev/null) ;;
    esac || fail "cannot install the package $1: $(printf %s "$log" | tail -n 5)"
    if [ "$3" != - ]; then rm -f "/run/systemd/system/$3"; systemctl daemon-reload; systemctl disable -q --now "$3" 2> /dev/null; fi
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
            DEBIAN_FRONTEND=noninteractive apt-get purge -y "$1" $(cat "$STATE/before/package.$1" 2> /dev/null) > /dev/null 2>&1 < /dev/null ;;
        dnf) dnf remove -y "$1" > /dev/null 2>&1 < /dev/null ;;
        zypper) zypper --non-interactive remove --clean-deps "$1" > /dev/null 2>&1 < /dev/null ;;
        esac
        for folder in $made; do rmdir "$folder" 2> /dev/null; done
    fi
    forget package "$1"
}

do_module() { log=$(modprobe "$1" 2>&1) || [ -d "/sys/module/$1" ] || fail "cannot load kernel module $1: $log"; record module "$1" -; }
do_remove_module() { if [ "$2" = absent ]; then modprobe -r "$1" 2> /dev/null; fi; forget module "$1"; }

set_sysctl() { printf '%s\n' "$2" > "/proc/sys/$(printf %s "$1" | tr . /)"; }
do_sysctl() {
    log=$(set_sysctl "$1" "$2" 2>&1) || fail "cannot set sysctl $1 to $2: $log"
    record sysctl "$1" "$2"
}
do_remove_sysctl() { if [ "$2" != absent ]; then set_sysctl "$1" "$2" 2> /dev/null; fi; forget sysctl "$1"; }

do_swapoff() {
    log=$(swapoff -a 2>&1) || fail "cannot switch swap off: $log"
    if [ -f /etc/fstab ] && grep -Eq '^[^#[:space:]]+[[:space:]]+[^[:space:]]+[[:space:]]+swap[[:space:]]' /etc/fstab; then
        [ -e $STATE/before/etc/fstab ] || { mkdir -p $STATE/before/etc && cp -a /etc/fstab $STATE/before/etc/fstab; }
        sed -E '/^[^#[:space:]]+[[:space:]]+[^[:space:]]+[[:space:]]+swap[[:space:]]/s/^/# kprov: /' /etc/fstab > "$stage/fstab" &&
            staged "$stage/fstab" /etc/fstab root root 0644 && mv -f /etc/fstab.kprov-new /etc/fstab || fail 'cannot take swap out of /etc/fstab'
    fi
    record swap off off
}
do_remove_swapoff() { # what /proc/swaps listed before, blanks between
    if [ -e $STATE/before/etc/fstab ]; then cp -a $STATE/before/etc/fstab /etc/fstab && rm -f $STATE/before/etc/fstab; fi
    for device in $1; do [ "$device" = none ] || swapon "$device" 2> /dev/null; done
    forget swap off
}

do_unstamp() { rm -f "$STATE/stamps/$1"; sync $STATE/stamps; }

do_stamp() { # unit, value
    printf '%s\n' "$2" > "$STATE/stamps/.$1" && sync "$STATE/stamps/.$1" && mv -f "$STATE/stamps/.$1" "$STATE/stamps/$1"
    record unit "$1" -
}

do_reload_units() { # units to enable, blanks between; before the reload: after it, systemd 257 would take all units for outdated
    # shellcheck disable=SC2086 # names of units have no blanks
    if [ -n "$1" ]; then log=$(systemctl enable --no-reload -q $1 2>&1) || fail "cannot enable $1: $log"; fi
    log=$(systemctl daemon-reload 2>&1) || fail "systemctl daemon-reload: $log"
}

do_restart() { # unit
    systemctl reset-failed "$1" 2> /dev/null
    log=$(systemctl restart --no-block "$1" 2>&1) || fail "cannot restart $1: $log"
}

do_stop() { # unit: until what it needs is there again
    rm -f "$STATE/stamps/$1"
    log=$(systemctl stop "$1" 2>&1) || case $log in *'not loaded'*) ;; *) fail "cannot stop $1: $log" ;; esac
}

do_checkpoint() { write_manifest; } # what was done so far is not done again, whatever happens next

do_remove_unit() { # unit
    systemctl disable -q --now "$1" 2> /dev/null
    systemctl reset-failed -q "$1" 2> /dev/null # one that did not end as it should would stay in systemd's list
    rm -f "$STATE/stamps/$1"
    forget unit "$1"
}

http_ok() { # port, path: 200 on loopback; curl where it is, else bash's own sockets
    if command -v curl > /dev/null 2>&1; then curl -fs -o /dev/null --max-time 2 "http://127.0.0.1:$1$2"
    else bash -c 'exec 3<>"/dev/tcp/127.0.0.1/$1" && printf "GET %s HTTP/1.0\r\nHost: localhost\r\n\r\n" "$2" >&3 &&
        read -t 2 -r _ code _ <&3 && [ "$code" = 200 ]' sh "$1" "$2" 2> /dev/null
    fi
}

listens() { awk -v p="$(printf ':%04X' "$1")" '$4 == "0A" && substr($2, length($2) - 4) == p {f = 1} END {exit !f}' /proc/net/tcp /proc/net/tcp6 2> /dev/null; }

says() { # how the answer begins, a command
    # shellcheck disable=SC2086 # arguments are words on purpose
    passes command "${1#* }" && case $(cat "$stage/gate") in "${1%% *}"*) ;; *) return 1 ;; esac
}

passes() { # kind, argument
    # shellcheck disable=SC2086 # arguments are words on purpose
    case $1 in
    active) systemctl is-active -q "$2" ;;
    http) http_ok $2 ;;
    listens) listens "$2" ;;
    says) says "$2" ;;
    command) KUBECACHEDIR=/run/kprov/cache KUBECONFIG=$stage/payload/kubeconfig timeout 20 $2 < /dev/null > "$stage/gate" 2>&1 ;;
    esac
}

settled() { # unit or -: nothing is left of its restart; until then the old process may answer, with its last breath
    [ "$1" = - ] || case $(systemctl show -p Job --value "$1") in '' | 0) ;; *) return 1 ;; esac
}

do_gate() { # unit or -, kind, deadline, argument
    limit=$(($(date +%s) + $3))
    : > "$stage/gate"
    until settled "$1" && passes "$2" "$4"; do
        if [ "$(date +%s)" -ge $limit ]; then
            log=$(tail -n 5 "$stage/gate")
            if [ "$1" != - ]; then log="$log
$(systemctl show -p ActiveState,SubState,Result,ExecMainStatus --value "$1" | tr '\n' ' ')
$(journalctl -u "$1" -n 20 --no-pager -o cat 2> /dev/null)"; fi
            fail "$log"
        fi
        sleep 0.2
    done
}

stored() { # name of an image: its reference, and the socket of its store unless that is containerd's
    reference=${1%% *}; store=/run/containerd/containerd.sock
    case $1 in *' '*) store=${1#* } ;; esac
}

# How a store is spoken to tells the name of its socket: containerd's own client, Docker's API, or what reads and writes
# CRI-O's store.
ctr() { $BIN/ctr --address "$store" --connect-timeout 2s -n k8s.io "$@"; }
docker() { curl -fsS --connect-timeout 2 --unix-socket "$store" -X "$1" "http://docker$2"; } # method, path
crictl() { $BIN/crictl --runtime-endpoint "unix://$store" --timeout 10s "$@"; }

import() { # tar of an OCI layout
    case ${store##*/} in
    docker.sock)
        answer=$(curl -sS --unix-socket "$store" -H 'Content-Type: application/x-tar' -T "$1" -X POST http://docker/images/load 2>&1)
        case $answer in *'Loaded image'*) ;; *) printf '%s\n' "$answer"; return 1 ;; esac ;;
    crio.sock)
        CONTAINERS_STORAGE_CONF=/etc/crio/storage.conf skopeo --policy /etc/crio/policy.json copy -q "oci-archive:$1" \
            "containers-storage:$reference" ;;
    *) ctr images import --local "$1" || ctr images import "$1" ;;
    esac
}

do_image() { # name, payload or URL, encoding, sha256 of the tar
    obtain "$2" "$4"
    log=$(unpack "$source" "$3" - "$stage/image.tar" 2>&1) || fail "cannot unpack image $1: $log"
    rm -f "$source"
    sha256 "$stage/image.tar"
    [ "$found" = "$4" ] || fail "image $1 arrived with sha256 $found, needed $4: nothing was imported"
    stored "$1"
    log=$(import "$stage/image.tar" 2>&1) || fail "cannot import image $1: $log"
    rm -f "$stage/image.tar"
    record image "$1" "$4"
}

do_remove_image() { # name
    stored "$1"
    if [ -S "$store" ]; then
        case ${store##*/} in
        docker.sock) docker DELETE "/images/$reference?force=true" ;;
        crio.sock) crictl rmi "$reference" ;;
        *) ctr images rm "$reference" ;;
        esac > /dev/null 2>&1
    fi
    forget image "$1"
}

etcdctl() {
    timeout 20 $BIN/etcdctl --cacert=/etc/etcd/pki/ca.crt --cert=/etc/etcd/pki/healthcheck-client.crt \
        --key=/etc/etcd/pki/healthcheck-client.key --command-timeout=10s --dial-timeout=5s "$@" 2>&1
}

do_quorum() { # endpoints of the other members, how many of them must be healthy
    healthy=0
    for endpoint in $(printf %s "$1" | tr , ' '); do
        log=$(etcdctl --endpoints="$endpoint" endpoint health) && healthy=$((healthy + 1))
    done
    [ "$healthy" -ge "$2" ] || fail "only $healthy of the other etcd members are healthy, $2 are needed to keep quorum while this one restarts: $log"
}

join_env() { # value of ETCD_JOIN
    printf 'ETCD_JOIN=%s\n' "$1" > "$stage/join.env"
    staged "$stage/join.env" /etc/etcd/join.env root root 0600 && sync /etc/etcd/join.env.kprov-new &&
        mv -f /etc/etcd/join.env.kprov-new /etc/etcd/join.env || fail 'cannot write /etc/etcd/join.env'
}

do_etcd_bootstrap() { # initial cluster, token
    join_env "--initial-cluster=$1 --initial-cluster-state=new --initial-cluster-token=$2"
}

change_members() { # deadline, arguments of etcdctl
    # etcd refuses a change until its members have been connected for five seconds, as one that just came has not.
    limit=$(($(date +%s) + $1))
    shift
    until log=$(etcdctl "$@"); do
        case $log in *'unhealthy cluster'*) ;; *) return 1 ;; esac
        [ "$(date +%s)" -lt $limit ] || return 1
        sleep 0.5
    done
}

do_etcd_join() { # name, peer URL, endpoints of live members, deadline
    members=$(etcdctl --endpoints="$3" member list) || fail "cannot ask the live etcd members: $members"
    if ! printf %s "$members" | grep -qF ", $2, "; then
        change_members "$4" --endpoints="$3" member add "$1" --learner --peer-urls="$2" || fail "cannot add etcd member $1: $log"
        members=$(etcdctl --endpoints="$3" member list) || fail "cannot ask the live etcd members: $members"
    fi
    initial=$(printf '%s\n' "$members" | awk -F', ' -v n="$1" -v u="$2" '{name = ($4 == u) ? n : $3; if (name != "") {printf "%s%s=%s", sep, name, $4; sep = ","}}')
    join_env "--initial-cluster=$initial --initial-cluster-state=existing"
}

do_etcd_promote() { # peer URL, endpoints of live members, deadline
    id=$(etcdctl --endpoints="$2" member list | awk -F', ' -v u="$1" '$4 == u {print $1}')
    limit=$(($(date +%s) + $3))
    until log=$(etcdctl --endpoints="$2" member promote "$id"); do
        case $log in
        *'in sync with leader'*) ;;
        *'can only promote a learner member'*) return 0 ;; # a voter already: an earlier run was cut off after this step
        esac
        [ "$(date +%s)" -lt $limit ] || fail "the new member did not become a voter: $log"
        sleep 0.5
    done
}

do_etcd_settled() { join_env ''; }

do_etcd_remove() { # id, endpoints, deadline
    change_members "$3" --endpoints="$2" member remove "$1" || fail "cannot remove etcd member $1: $log"
}

kubectl() { # its answer; when it fails, why. What it mutters about an API that another server answers for is neither
    said=$(mktemp "$stage/said.XXXXXX") || return 1
    code=0
    KUBECACHEDIR=/run/kprov/cache KUBECONFIG=$stage/payload/kubeconfig $BIN/kubectl --request-timeout=20s "$@" < /dev/null 2> "$said" || code=$?
    [ $code = 0 ] || grep -v '^E[0-9]* .*memcache\.go' "$said"
    rm -f "$said"
    return $code
}

do_objects() { # payload with the objects
    mkdir -p /run/kprov
    limit=$(($(date +%s) + 60))
    until log=$(kubectl apply --server-side --force-conflicts --field-manager=kprov -f "$stage/payload/$1"); do
        # The API server is up before its authorizer has read the bindings that give us our rights.
        printf %s "$log" | grep -Eqi 'forbidden|refused|timed? ?out|unavailable|try again|not yet ready|no matches for kind|TLS handshake|failed calling webhook' || fail "$log"
        [ "$(date +%s)" -lt $limit ] || fail "$log"
        sleep 0.5
    done
}

note() { printf 'note\t%s\t%s\n' "$number" "$(printf %s "$1" | base64 -w0)"; } # something that the operator is told

do_registered() { # nodes, commas between; seconds: each is Ready, or lacks nothing but a pod network that is not kprov's
    limit=$(($(date +%s) + $2))
    until waiting=$(unconnected "$1"); do
        [ "$(date +%s)" -lt $limit ] || fail "$(cat "$stage/nodes")"
        sleep 0.5
    done
    [ -z "$waiting" ] || note "registered, and NotReady until your pod network is there (network: none): $waiting"
}

unconnected() { # nodes, commas between: prints those without a network; fails while one is not ready for another reason
    # shellcheck disable=SC2046 # words on purpose
    kubectl get nodes $(printf %s "$1" | tr , ' ') --no-headers -o 'custom-columns=N:.metadata.name,S:.status.conditions[?(@.type=="Ready")].status,M:.status.conditions[?(@.type=="Ready")].message' > "$stage/nodes" &&
        awk '$2 == "True" {next} /NetworkReady=false/ {printf "%s%s", sep, $1; sep = ", "; next} {bad = 1} END {exit bad}' "$stage/nodes"
}

do_first_list() { # payload: only where there is none, as what an older one names is not known here
    mkdir -p /run/kprov
    limit=$(($(date +%s) + 60))
    until log=$(kubectl -n kube-system get configmap kprov-inventory -o name); do
        case $log in *NotFound*) break ;; esac
        [ "$(date +%s)" -lt $limit ] || fail "$log"
        sleep 0.5
    done
    case $log in *NotFound*) do_objects "$1" ;; esac
}

do_delete_objects() { # payload with the least of each, in order; with-data, or -: volumes that are not kprov's stay
    if [ "$2" = - ]; then
        for space in $(awk '/^kind: Namespace$/ {n = 1} /^---$/ {n = 0} n && $1 == "name:" {print $2}' "$stage/payload/$1"); do
            log=$(kubectl -n "$space" get persistentvolumeclaims -o name) || fail "cannot ask for volumes of $space: $log"
            [ -z "$log" ] || fail "namespace $space holds volumes, which go only with --delete-data: $log"
        done
    fi
    log=$(kubectl delete --ignore-not-found --wait=false -f "$stage/payload/$1") || fail "$log"
}

refuse() { # what an add-on met: it is told, and the next one has its turn
    printf 'refused\t%s\t%s\n' "$number" "$(printf %s "$1" | base64 -w0)"
    refused=yes
}

server_side() { kubectl apply --server-side --field-manager=kprov -f "$1"; } # no force: what others own is not taken

do_addon() { # name, payload, payload with workloads that may be made anew or -
    limit=$(($(date +%s) + 60))
    until log=$(server_side "$stage/payload/$2"); do
        if [ "$3" != - ] && printf %s "$log" | grep -Eqi 'field is immutable|spec for fields other than'; then
            log=$(kubectl delete --ignore-not-found --timeout=60s -f "$stage/payload/$3") || { refuse "$log"; return; }
            set -- "$1" "$2" -
            continue
        fi
        # A kind that was made a moment ago is not known yet, and a webhook's pods may still start.
        if printf %s "$log" | grep -Eqi 'conflict with|is invalid|immutable' || [ "$(date +%s)" -ge $limit ] ||
            ! printf %s "$log" | grep -Eqi 'refused|timed? ?out|unavailable|try again|not yet ready|no matches for kind|TLS handshake|not found|failed calling webhook'; then
            refuse "$log"; : > "$stage/refused.$1"; return
        fi
        sleep 0.5
    done
}

do_addon_ready() { # add-on, kind, namespace, name, seconds
    [ ! -e "$stage/refused.$1" ] || return 0 # it was told already
    limit=$(($(date +%s) + $5)); stuck=0; labels=
    until addon_is_ready "$2" "$3" "$4"; do
        [ -n "$labels" ] || labels=$(pod_labels "$2" "$3" "$4")
        log=$(unready_pods "$3" "$labels")
        # Three attempts of the kubelet are enough: what a registry does not give by then, it does not give.
        case $log in *': ErrImagePull: '*|*': ImagePullBackOff: '*|*': InvalidImageName: '*) stuck=$((stuck + 1)) ;; *) stuck=0 ;; esac
        if [ $stuck -ge 10 ] || [ "$(date +%s)" -ge $limit ]; then
            refuse "$2 $4 is not ready: $(head -n 1 "$stage/ready")
$log"
            return
        fi
        say wait "$number"
        sleep 1
    done
}

addon_is_ready() { # kind, namespace, name
    case $1 in
    apiservice) kubectl wait --for=condition=Available --timeout=2s "apiservice/$3" > "$stage/ready" ;;
    *) kubectl -n "$2" rollout status --timeout=2s "$1/$3" > "$stage/ready" ;;
    esac
}

pod_labels() { # kind, namespace, name: what its pods carry, as kubectl takes it; nothing when that cannot be said
    [ "$1" != apiservice ] || return 0
    log=$(kubectl -n "$2" get "$1/$3" -o 'go-template={{range $k, $v := .spec.selector.matchLabels}}{{$k}}={{$v}},{{end}}') && printf %s "${log%,}"
}

# The pods that are not ready, and where; below each what it says, and each container that waits: image, reason, message.
UNREADY='{{define "waits"}}{{$image := .image}}{{with .state.waiting}}  {{$image}}: {{.reason}}: {{with .message}}{{.}}{{end}}
{{end}}{{end}}{{range .items}}pod {{.metadata.name}}{{with .spec.nodeName}} on {{.}}{{end}}
{{range .status.conditions}}{{if and (eq .status "False") (eq .type "Ready" "PodScheduled")}}  {{with .message}}{{.}}{{end}}
{{end}}{{end}}{{range .status.initContainerStatuses}}{{template "waits" .}}{{end}}{{range .status.containerStatuses}}{{template "waits" .}}{{end}}{{end}}'

unready_pods() { # namespace, labels or nothing
    kubectl -n "$1" get pods ${2:+-l "$2"} -o "go-template=$UNREADY" | awk '/^pod / {pod = $0; next} pod != "" {print pod; pod = ""} {print}' | head -n 20
}

do_nodes_initialized() { # add-on, seconds: until the cloud's controller has said of every node what machine it is
    limit=$(($(date +%s) + $2))
    until left=$(kubectl get nodes -o 'jsonpath={range .items[*]}{.metadata.name}{" "}{.spec.taints[*].key}{"\n"}{end}') &&
        left=$(printf '%s\n' "$left" | awk '/node\.cloudprovider\.kubernetes\.io\/uninitialized/ {printf " %s", $1}') && [ -z "$left" ]; do
        if [ "$(date +%s)" -ge "$limit" ]; then
            refuse "not taken over by the cloud's controller within $2 s:$left
$(kubectl -n kube-system logs -l kprov.io/cloud-controller --tail=6 --prefix)"
            return
        fi
        say wait "$number"
        sleep 0.5
    done
}

do_namespace_gone() { # name, seconds
    limit=$(($(date +%s) + $2))
    until log=$(kubectl get namespace "$1" --ignore-not-found -o 'jsonpath={.metadata.name}') && [ -z "$log" ]; do
        if [ "$(date +%s)" -ge $limit ]; then
            refuse "namespace $1 is still there: $(kubectl get namespace "$1" -o 'jsonpath={range .status.conditions[?(@.status=="True")]}{.message}{"; "}{end}')"
            return
        fi
        sleep 0.5
    done
}

do_volumes_gone() { # folder on hosts that is about to go, seconds: volumes that are claimed keep it, the others go with it
    limit=$(($(date +%s) + $2))
    while :; do
        log=$(kubectl get persistentvolumes -o 'jsonpath={range .items[*]}{.metadata.name}{"\t"}{.status.phase}{"\t"}{.spec.claimRef.namespace}{"\t"}{.spec.claimRef.name}{"\t"}{.spec.nodeAffinity.required.nodeSelectorTerms[0].matchExpressions[0].values[0]}{"\t"}{.spec.local.path}{.spec.hostPath.path}{"\n"}{end}') ||
            fail "cannot ask for volumes: $log"
        printf '%s\n' "$log" | awk -F"$T" -v below="$1/" 'index($6, below) == 1' > "$stage/volumes"
        claimed=; leaving=
        while IFS="$T" read -r volume phase space claim node _; do
            [ "$phase" = Bound ] || continue
            # A claim that is gone, or about to be, is given up by its volume in a moment.
            if [ "$(kubectl -n "$space" get persistentvolumeclaim "$claim" --ignore-not-found -o 'jsonpath={.metadata.name}{.metadata.deletionTimestamp}')" = "$claim" ]
            then claimed="$claimed
$volume on node $node, claimed by $space/$claim"
            else leaving=yes; fi
        done < "$stage/volumes"
        [ -z "$claimed" ] || fail "$1 holds volumes that are in use, so nothing of it was removed:$claimed
Delete these claims and run again, or switch the add-on on again."
        [ -n "$leaving" ] || break
        [ "$(date +%s)" -lt "$limit" ] || fail "volumes in $1 were not given up within $2 s: $log"
        say wait "$number"
        sleep 1
    done
    volumes=$(cut -f 1 "$stage/volumes")
    # shellcheck disable=SC2086 # names of volumes have no blanks
    [ -z "$volumes" ] || log=$(kubectl delete persistentvolume --ignore-not-found --wait=false $volumes) || fail "$log"
}

do_delete_object() { # kind, namespace or -, name
    if [ "$2" = - ]; then log=$(kubectl delete --ignore-not-found --wait=false "$1" "$3")
    else log=$(kubectl delete --ignore-not-found --wait=false -n "$2" "$1" "$3"); fi || fail "cannot delete $1 $3: $log"
}

do_sandboxes() { # socket of a runtime's store: take down all its pods, before it goes
    store=$1
    [ -S "$store" ] || return 0
    case ${store##*/} in
    docker.sock)
        # Only what cri-dockerd made: the label is its own ({"label":["io.kubernetes.docker.type"]}).
        for id in $(docker GET '/containers/json?all=1&filters=%7B%22label%22%3A%5B%22io.kubernetes.docker.type%22%5D%7D' 2> /dev/null | grep -o '"Id":"[0-9a-f]*"' | cut -d'"' -f4); do
            docker DELETE "/containers/$id?force=1&v=1" > /dev/null 2>&1
        done
        return 0 ;;
    crio.sock) crictl rmp -a -f > /dev/null 2>&1; return 0 ;;
    esac
    for id in $(ctr tasks ls -q 2> /dev/null); do ctr tasks kill -s KILL "$id" > /dev/null 2>&1; done
    sleep 0.3
    for id in $(ctr tasks ls -q 2> /dev/null); do ctr tasks delete -f "$id" > /dev/null 2>&1; done
    for id in $(ctr containers ls -q 2> /dev/null); do ctr containers delete "$id" > /dev/null 2>&1; done
}

do_clear() { # what a program that was stopped left in /run; a socket on which somebody still listens is not its own:
    # shims of every containerd, Docker's too, have theirs in /run/containerd/s
    awk '$4 == "00010000" && $8 ~ /^\// {sub(/^\/var\/run\//, "/run/", $8); print $8}' /proc/net/unix > "$stage/listening"
    find "$1" -xdev ! -type d 2> /dev/null | grep -vxF -f "$stage/listening" | xargs -r -d '\n' rm -f
    find "$1" -xdev -depth -type d -empty -delete 2> /dev/null
    return 0
}

patch_node() { # node, merge patch
    log=$(kubectl patch node "$1" --type=merge -p "$2") || fail "cannot change node $1: $log"
}

do_cordon() { # node; the mark comes with it in one request: what a user cordoned has none, and is never opened by us
    closed=$(kubectl get node "$1" -o 'jsonpath={.spec.unschedulable}') || fail "cannot ask for node $1: $closed"
    [ "$closed" = true ] || patch_node "$1" '{"metadata":{"annotations":{"kprov.io/cordoned":"upgrade"}},"spec":{"unschedulable":true}}'
}

do_uncordon() { # node
    mark=$(kubectl get node "$1" -o 'jsonpath={.metadata.annotations.kprov\.io/cordoned}') || fail "cannot ask for node $1: $mark"
    [ -z "$mark" ] || patch_node "$1" '{"metadata":{"annotations":{"kprov.io/cordoned":null}},"spec":{"unschedulable":null}}'
}

do_drain() { # nodes, commas between; seconds; --force, which takes pods without a controller too, or -
    limit=$(($(date +%s) + $2)); left=$(printf %s "$1" | tr , ' '); force=$3; [ "$force" != - ] || force=
    while [ -n "$left" ]; do
        for node in $left; do
            { kubectl drain "$node" --ignore-daemonsets --delete-emptydir-data ${force:+"$force"} --timeout=10s > "$stage/drain.$node" &&
                rm -f "$stage/drain.$node"; } 9>&- &
        done
        wait
        pending=$left; left=; log=
        for node in $pending; do
            if [ -e "$stage/drain.$node" ]; then
                left="$left $node"
                log="${log:+$log
}$(grep -m 5 -e 'disruption budget' -e 'use --force' "$stage/drain.$node" || tail -n 10 "$stage/drain.$node")"
            fi
        done
        case $log in *'use --force'*) fail "cannot drain$left: $log" ;; esac
        if [ -n "$left" ] && [ "$(date +%s)" -ge $limit ]; then fail "cannot drain$left within $2 s: $log"; fi
        say wait "$number" # nobody listens any more? Then this ends us, instead of a lock that is held until the deadline
        [ -z "$left" ] || sleep 1
    done
}

do_unmount() { # everything mounted below a path, deepest first
    awk -v p="$1/" 'index($5, p) == 1 {print $5}' /proc/self/mountinfo | sort -r | while read -r mount; do umount "$mount" 2> /dev/null || umount -l "$mount"; done
}

do_run() { # a payload program of kprov's own, and its argument
    log=$(sh "$stage/payload/$1" "$2" 2>&1 < /dev/null) || fail "$log"
}

do_state_gone() { rm -rf $STATE/before $STATE/stamps $STATE/generation $STATE/manifest $STATE/run.lock /run/kprov; : > "$stage/done"; : > "$stage/gone"; }

remember() { # what cannot be told apart later: the firewall tables that were there before the first run
    mkdir -p $STATE/before
    { nft list tables 2> /dev/null || true; } > $STATE/before/nft-tables
}

main() {
    trap end EXIT
    trap 'exit 71' HUP INT TERM PIPE
    number=0
    mkdir -p $STATE/stamps
    if [ ! -e $STATE/manifest ]; then remember; fi
    touch $STATE/manifest
    exec 9>> $STATE/apply.lock
    flock -w 120 9 || fail 'another apply is still at work on this host'
    for old in $STATE/stage.*; do if [ "$old" != "$stage" ]; then rm -rf "$old"; fi; done
    : > "$stage/done"; : > "$stage/gone"; : > "$stage/pending"; : > "$stage/directories"
    sweep
    announce || fail 'cannot write the manifest, or keep what was there before'
    permission=
    while IFS="$T" read -r number operation a b c d e f g; do
        [ "$operation:$b $c $d" = "directory:$permission" ] || make_directories
        case $operation in
        directory) # `make_directories` says when it is done
            current=$number; place; number=$current; permission="$b $c $d"
            do_directory "$a" "$b" "$c" "$d" "$e" ;;
        file | binary) "do_$operation" "$a" "$b" "$c" "$d" "$e" "$f" "$g" ;; # `place` says when it is done
        *)
            current=$number; place; number=$current; refused=
            "do_$operation" "$a" "$b" "$c" "$d" "$e" "$f" "$g"
            [ -n "$refused" ] || say ok "$number" ;;
        esac
    done < "$stage/ops"
    make_directories
    place
    if [ -d $STATE/stamps ]; then cp "$stage/generation" $STATE/generation; else trap gone EXIT; fi
    say "done" 0
}

main
