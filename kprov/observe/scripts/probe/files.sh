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
