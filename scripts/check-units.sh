#!/bin/sh
# Checks the units for systemd: that systemd takes them as they are, and how much of the machine they leave open.
set -eu
cd "$(dirname "$0")/.."
. scripts/common.sh

command -v systemd-analyze >/dev/null ||
    fail "systemd-analyze is not here" "apt-get install systemd; it need not run"

# NAME LIMIT: the most that `systemd-analyze security` may find, from 0 (closed) to 10. What is open in a unit, and
# why, is said in the unit. Those of boot and shutdown run for a second each, before anything else is there.
limits='elivepatch-agent.service 3.0
elivepatch-server.service 3.3
elivepatch-worker.service 3.3'

# A machine with the programs that the units name, so that it is seen when one names another.
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
mkdir -p "$root/usr/lib/systemd" "$root/usr/bin" "$root/etc/elivepatch" "$root/var/lib/elivepatch"
cp -R /lib/systemd/system "$root/usr/lib/systemd/"
ln -s usr/lib usr/bin "$root"
for program in elivepatch elivepatch-server true kill; do
    cp /bin/true "$root/usr/bin/$program"
done
printf 'root:x:0:0::/:/bin/sh\nelivepatch:x:999:999::/:/bin/sh\n' > "$root/etc/passwd"
printf 'root:x:0:\nelivepatch:x:999:\n' > "$root/etc/group"
cp packaging/systemd/*.service "$root/usr/lib/systemd/system"

failed=
for unit in packaging/systemd/*.service; do
    name=${unit##*/}
    # It ends with 0 also when it only warns: of our own units it is to say nothing at all.
    said=$(systemd-analyze verify --man=no --recursive-errors=no --root="$root" \
        "$root/usr/lib/systemd/system/$name" 2>&1) || said="$said
$name is refused"
    said=$(printf '%s\n' "$said" | grep elivepatch || true)
    if [ -n "$said" ]; then
        printf '%s\n' "$said" >&2
        failed="$failed $name"
    else
        echo "$name: systemd takes it"
    fi
done

printf '%s\n' "$limits" > "$root/limits"
while read -r name limit; do
    found=$(systemd-analyze security --no-pager --offline=true "packaging/systemd/$name" |
        sed -n 's/.*Overall exposure level for .*: \([0-9.]*\) .*/\1/p')
    echo "$name: open by ${found:-?} of 10; at most $limit"
    awk -v found="${found:-11}" -v limit="$limit" 'BEGIN { exit !(found <= limit) }' || failed="$failed $name"
done < "$root/limits"

[ -z "$failed" ] || fail "not as they should be:$failed" \
    "systemd-analyze security --offline=true packaging/systemd/NAME shows every line"
