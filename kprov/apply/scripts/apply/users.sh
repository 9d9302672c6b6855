do_user() { # name, home
    getent group "$1" > /dev/null || log=$(groupadd --system "$1" 2>&1) || fail "cannot make group $1: $log"
    getent passwd "$1" > /dev/null ||
        log=$(useradd --system --gid "$1" --comment "$MARK" --home-dir "$2" --no-create-home \
            --shell /usr/sbin/nologin "$1" 2>&1) ||
        fail "cannot make user $1: $log"
    record user "$1" marked
}

MARK='made by kprov' # what an account says of itself that kprov made, and none that somebody made meanwhile

do_remove_user() { # name, before, value
    forget user "$1"
    # shellcheck disable=SC2086 # of the account and of its group; an older kprov knew one word for both
    set -- "$1" "$3" $2
    if [ "$3" = absent ] && { [ "$2" != marked ] || [ "$(getent passwd "$1" | cut -d : -f 5)" = "$MARK" ]; }; then
        # userdel takes the group of that name along, unless the account is not in it.
        [ "${4:-$3}" = absent ] || usermod -g 0 "$1" 2> /dev/null
        userdel "$1" 2> /dev/null
    fi
    # Of an account that stays the group stays, too: groupdel refuses it.
    [ "${4:-$3}" = present ] || groupdel "$1" 2> /dev/null
    return 0
}
