"""The shell programs that change hosts, and the commands that start them. Constant text: values travel as data."""

from __future__ import annotations

from importlib import resources as package_resources

# The whole stream arrives before anything is touched; a full disk or a cut connection ends here, with the host as it was.
# Its first line says how the rest is written: packed, or as it is where there is much of it. What is large goes to the disk
# while the rest still arrives: `apply.sh` would have to wait for it otherwise.
APPLY_COMMAND = (
    "umask 077; mkdir -p /var/lib/kprov && d=$(mktemp -d /var/lib/kprov/stage.XXXXXXXX) || exit 70; read -r how; "
    'if [ "$how" = packed ]; then gzip -dc | tar -xmf - -C "$d"; s=$?; else '
    'while sleep 1; do find "$d" -type f -size +4M -exec sync -d {} +; done > /dev/null 2>&1 & '
    'tar -xmf - -C "$d"; s=$?; kill $!; fi; [ $s = 0 ] && [ -s "$d/apply.sh" ] || { rm -rf "$d"; exit 72; }; '
    'exec sh "$d/apply.sh" "$d"'
)

# Reads who takes it, one line; prints `locked GENERATION`, or `held HOLDER`; then lives until its stdin closes, as the
# connection does when kprov dies.
LOCK_COMMAND = (
    "umask 077; mkdir -p /var/lib/kprov; exec 8>>/var/lib/kprov/run.lock; "
    "if flock -n 8; then read -r holder; printf '%s\\n' \"$holder\" > /var/lib/kprov/run.lock; "
    "printf 'locked %s\\n' \"$(cat /var/lib/kprov/generation 2>/dev/null)\"; cat > /dev/null; "
    "else printf 'held %s\\n' \"$(head -n 1 /var/lib/kprov/run.lock)\"; fi"
)


# The parts of apply.sh, in the order in which they are joined: `main` runs as soon as it is read.
_PARTS = (
    *("start", "ledger", "files", "checks", "directories", "binaries", "removal", "users", "packages"),
    *("packages_gone", "kernel", "units", "steady", "gates", "keep", "back", "images", "ask", "etcd", "objects"),
    *("pods", "ready", "leave", "main"),
)


def text(name: str) -> bytes:
    """Return one of the shell programs, whole."""
    folder = package_resources.files(__name__)
    if name != "apply.sh":
        return folder.joinpath(name).read_bytes()
    return b"\n".join(folder.joinpath("apply", f"{part}.sh").read_bytes() for part in _PARTS)
