do_remove() { # kind, path, before
    keep_file "$1" "$2"
    rm -f "$2"
    if [ "$3" = saved ] && [ -e "$STATE/before$2" ]; then
        cp -a "$STATE/before$2" "$2.kprov-new" && mv -fT "$2.kprov-new" "$2" && rm -f "$STATE/before$2"
    fi
    forget "$1" "$2"
}

# Before is absent, or present MODE OWNER GROUP, and full when it held something; content is keep or purge.
do_remove_directory() { # path, before, content
    forget directory "$1"
    case $2 in
    absent) if [ "$3" = purge ]; then purge "$1"; else rmdir "$1" 2> /dev/null; fi ;;
    present*)
        # shellcheck disable=SC2086 # words on purpose
        set -- "$1" "$3" ${2#present }
        if [ "$2" = purge ] && [ "${6:-}" != full ]; then empty "$1"; fi
        # 777 is a symbolic link's own mode: an older kprov took it for that of the folder behind it.
        if [ -L "$1" ] && [ "$3" = 777 ]; then return 0; fi
        chown "$4:$5" "$1" && chmod "$3" "$1" ;;
    esac
}

purge() { # a folder may be a mount point of its own, or a link to another one: then it is emptied and stays
    if [ -L "$1" ] || mountpoint -q "$1"; then empty "$1"; else rm -rf --one-file-system "$1" 2> /dev/null; fi
}
