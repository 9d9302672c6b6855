#!/bin/sh
# Becomes a lab machine's QEMU, and says before which process that is: vm.sh FOLDER ARGUMENTS...
set -u
folder=$1
shift

# A lab that was removed while we started has no such folder: nothing may be started for it.
cd "$folder" || exit 70
exec 9<"$folder"
flock -n 9 || exit 75 # QEMU inherits the lock: one process a machine
{ cat /proc/sys/kernel/random/boot_id && cat "/proc/$$/stat"; } >keeper.new || exit 70
mv keeper.new keeper || exit 70
exec "$@"
