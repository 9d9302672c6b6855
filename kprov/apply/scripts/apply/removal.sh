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
