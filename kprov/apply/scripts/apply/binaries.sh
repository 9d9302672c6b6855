fetch() { # url, file
    # What stands still for half a minute is given up.
    if command -v curl > /dev/null 2>&1; then
        outside curl -fsSL --retry 2 --connect-timeout 10 -Y 1000 -y 30 -o "$2" "$1"
    else outside wget -nv -T 20 -t 3 -O "$2" "$1"; fi
}

# Sets `source`; an archive is downloaded once for all of it.
obtain() { # payload file name or URL, sha256 of the download
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

do_binary() { # path, mode, sha256, source, encoding, member, download sha256
    obtain "$4" "$7"
    folder=${1%/*}; new=$folder/.kprov-new/${1##*/}
    log=$({ { [ -d "$folder" ] || mkdir -p "$folder"; } && fresh "$folder" &&
        unpack "$source" "$5" "$6" "$new"; } 2>&1) || { sweep; fail "cannot write $1: $log"; }
    [ "$5" != gzip ] || rm -f "$source"
    sha256 "$new"
    if [ "$found" != "$3" ]; then sweep; fail "$1 arrived with sha256 $found, needed $3: nothing was installed"; fi
    chmod "$2" "$new" || fail "cannot set the mode of $1"
    printf '%s\t%s\t%s\t%s\tbinary\t-\t-\t-\n' "$number" "$folder" "${1##*/}" "$3" >> "$stage/pending"
}
