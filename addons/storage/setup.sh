# Makes the folder of one volume; the environment comes from local-path-provisioner and from the helper's template.
set -eu
fail() { echo "$1" >&2; exit 1; }
[ "${VOL_DIR%/*}" = "$VOLUMES" ] || fail "\"$VOL_DIR\" is not a folder straight below \"$VOLUMES\", where the volumes are"
case ${VOL_DIR##*/} in '' | . | ..) fail "\"$VOL_DIR\" is not the folder of a volume" ;; esac
[ "$VOL_MODE" = Filesystem ] || fail "volume ${VOL_DIR##*/}: $VOL_MODE volumes cannot be had here, only folders"
[ ! -d "$VOL_DIR" ] || exit 0
free=$(($(df -P -k "$VOLUMES" | awk 'NR == 2 {print $4}') * 1024))
[ "$OVERCOMMIT" = true ] || [ "$VOL_SIZE_BYTES" -le "$free" ] ||
    fail "volume ${VOL_DIR##*/}: $VOL_SIZE_BYTES bytes were asked for, node $NODE has $free left below $VOLUMES"
mkdir -m 0777 "$VOL_DIR"
