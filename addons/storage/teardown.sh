# Removes the folder of one volume with all it holds.
set -eu
fail() { echo "$1" >&2; exit 1; }
[ "${VOL_DIR%/*}" = "$VOLUMES" ] || fail "\"$VOL_DIR\" is not a folder straight below \"$VOLUMES\", where the volumes are"
case ${VOL_DIR##*/} in '' | . | ..) fail "\"$VOL_DIR\" is not the folder of a volume" ;; esac
rm -rf "$VOL_DIR"
