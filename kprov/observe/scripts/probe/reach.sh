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

knock() { # whether packets get to ports of other hosts: who refuses lets them through, also where nobody listens yet
    asked knock && command -v bash > /dev/null 2>&1 || return 0
    xargs -P 64 -L 1 bash -c 'error=$(timeout 4 bash -c "$0" "$1" "$2" 2>&1)
        case $? in 0) why=open ;; 124) why="no answer" ;; *) why=${error##*: } ;; esac
        [ "$why" != "Connection refused" ] || why=open
        printf "knock\t%s %s\t%s\n" "$1" "$2" "$why"' 'exec 3<> "/dev/tcp/$0/$1"' < "$work/knock"
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
