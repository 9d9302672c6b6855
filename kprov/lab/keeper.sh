#!/bin/sh
# Keeps one lab machine: starts its container in the machine's cgroups, and again after a reboot.
# keeper.sh FOLDER ROOT-FOLDER ARGUMENTS... ; FOLDER/groups lists the cgroups, FOLDER/keeper tells who we are.
set -u
folder=$1
root=$2
shift 2

# A lab that was removed while we started has no such folder: nothing may be started for it.
cd "$folder" || exit 70
exec 9<"$folder"
flock -n 9 || exit 75
{ cat /proc/sys/kernel/random/boot_id && cat "/proc/$$/stat"; } >keeper.new || exit 70
mv keeper.new keeper || exit 70

while :; do
    (
        exec 9<&-
        while read -r group; do
            echo 0 >"$group/cgroup.procs" || exit 70
        done <groups
        mountpoint -q "$root" || exit 70
        exec "$@"
    )
    status=$?
    # 133 is how a container that rebooted ends; a real machine comes back without its old cgroups.
    [ "$status" -eq 133 ] || exit "$status"
    while read -r group; do
        find "$group" -mindepth 1 -depth -type d -delete 2>/dev/null
        # With v2, a group that hands controllers down takes no process itself.
        [ ! -f "$group/cgroup.subtree_control" ] || for controller in $(cat "$group/cgroup.subtree_control"); do
            echo "-$controller" >"$group/cgroup.subtree_control"
        done
    done <groups
done
