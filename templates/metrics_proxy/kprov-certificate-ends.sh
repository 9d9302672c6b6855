#!/bin/sh
# Prints when certificates end, in seconds since 1970, as Prometheus reads it. What cannot be read is left out, and said.
# Usage: kprov-certificate-ends TARGET FILE…
set -u
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
target=$1
shift
mkdir -p "${target%/*}" && chmod 755 "${target%/*}"
{
    echo "# HELP kprov_certificate_not_after_seconds When a certificate of this host ends, in seconds since 1970."
    echo "# TYPE kprov_certificate_not_after_seconds gauge"
    for file; do
        end=$(openssl x509 -enddate -noout -in "$file") && end=$(date -u -d "${end#notAfter=}" +%s) ||
            { echo "$file: its end cannot be read" >&2; continue; }
        printf 'kprov_certificate_not_after_seconds{path="%s"} %s\n' "$file" "$end"
    done
} > "$target.new" && chmod 644 "$target.new" && mv "$target.new" "$target"
