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

words() { printf %s "$1" | tr '\037' ' '; } # of one field; for those that have no blanks in them

tell() { printf 'told\t%s\t%s\n' "$number" "$(printf %s "$1" | base64 -w0)"; } # what was asked

fail() { # what happened, with a log: ends the program, the ledger is written first
    printf 'fail\t%s\t%s\n' "$number" "$(printf %s "$1" | base64 -w0)"
    exit 1
}

outside() { # a program that fetches from the internet, by the host's proxy if it has one
    (export "no_proxy=${KPROV_NO_PROXY-}" "NO_PROXY=${KPROV_NO_PROXY-}"; "$@")
}
