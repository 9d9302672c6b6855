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
        $1 ~ /^(text|unit|sysctl|module|user|holds|reach|resolve|knock|program|facts|deep|locked)$/ {look($1, $2)}
        $1 == "status" {look($1, $2 "\t" $3 "\t" $4 "\t" $5)}
        $1 == "objects" {look($1, $2 "\t" $3 "\t" $4)}
        $1 == "kms" {look($1, $2)}
        # The socket of the store an image is in is the second word of its name.
        $1 == "image" {look("store", split($2, word, " ") < 2 ? "/run/containerd/containerd.sock" : word[2])}
    ' "$records" "$queries"
}

outside() { (export "no_proxy=${KPROV_NO_PROXY-}" "NO_PROXY=${KPROV_NO_PROXY-}"; "$@"); } # asks the internet, by the host's proxy if it has one

asked() { [ -s "$work/$1" ]; }

clock() { ! asked facts || say fact "$1" "$(date +%s.%N)"; }
