#!/bin/busybox sh
# The first process of a trial's guest.
#
# It speaks on the second serial port only, in lines "NONCE KIND FIELD…" (see protocol.rs); texts
# are sent as x and hexadecimal digits. The first serial port is the kernel's console: there it
# leaves marks through /dev/kmsg, so that a warning can be placed in the right phase.
# Nothing that came from outside is part of this text: it is read from files in /trial.

export PATH=/bin
/bin/busybox mount -t devtmpfs devtmpfs /dev
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sysfs /sys
/bin/busybox mount -t tmpfs -o size=64m tmpfs /tmp
/bin/busybox --install -s /bin

exec 9>/dev/ttyS1
stty -F /dev/ttyS1 raw 115200

read -r nonce </trial/nonce
read -r mark </trial/mark
read -r name </trial/name
read -r transition_seconds </trial/transition-seconds
read -r check_seconds </trial/check-seconds
read -r check_bytes </trial/check-bytes
rm /trial/nonce /trial/mark
livepatch=/sys/kernel/livepatch/$name
patched_modules=

say() {
    echo "$nonce $*" >&9
}

# The text on standard input as one field.
field() {
    echo "x$(od -An -v -tx1 | tr -d ' \n')"
}

phase() {
    read -r now idle </proc/uptime
    say phase "$1" "$now"
    echo "elivepatch-trial: $mark $1" >/dev/kmsg
}

taint() {
    read -r flags </proc/sys/kernel/tainted
    say taint "$flags"
}

finish() {
    taint
    say end
    # Closing waits until the port has sent everything.
    exec 9>&-
    poweroff -f
    # Not reached; a first process that ends is a kernel panic.
    while :; do sleep 60; done
}

# Waits until the command $1 is true, at most $2 seconds.
await() {
    read -r now idle </proc/uptime
    deadline=$((${now%.*} + $2))
    until "$1"; do
        read -r now idle </proc/uptime
        [ "${now%.*}" -lt "$deadline" ] || return 1
        usleep 20000
    done
}

settled() {
    read -r state <"$livepatch/transition" && [ "$state" = 0 ]
}

# The core removes the directory when the way back is complete.
gone() {
    [ ! -d "$livepatch" ]
}

unloaded() {
    rmmod "$name" >/tmp/errors 2>&1
    ! grep -q "^$name " /proc/modules
}

# Loads the target's own modules, each after what it needs. The list has a line "MODULE PATCHED"
# for each: PATCHED is 1 when the livepatch replaces functions of it. What the kernel refuses is
# reported with its reason when $1 is "report".
load_modules() {
    patched_modules=
    while read -r module patched; do
        if insmod "/trial/modules/$module.ko" >/tmp/errors 2>&1 9>&- ||
            grep -q "^$module " /proc/modules; then
            [ "$patched" = 0 ] || patched_modules="$patched_modules $module"
        elif [ "$patched" = 1 ] && [ "$1" = report ]; then
            say module-absent "$module" "$(head -c 2048 /tmp/errors | field)"
        fi
    done </trial/modules/list
}

# Unloads the modules again, the last one first; fails when a patched one stays.
unload_modules() {
    order=
    while read -r module patched; do
        order="$module $order"
    done </trial/modules/list
    for module in $order; do
        rmmod "$module" >>/tmp/errors 2>&1
    done
    for module in $patched_modules; do
        ! grep -q "^$module " /proc/modules || return 1
    done
}

# Says of each object of the livepatch whether its functions are replaced. The attribute is there
# since Linux 6.1 (commit bb26cfd9e77e).
report_objects() {
    for directory in "$livepatch"/*/; do
        state=unknown
        [ ! -e "$directory/patched" ] || read -r state <"$directory/patched"
        directory=${directory%/}
        say object "$1" "${directory##*/}" "$state"
    done
}

# Names the tasks that are not in the patch state $1 yet: 1 patched, 0 unpatched.
report_blocked() {
    blocked=0
    for task in /proc/[0-9]*/task/[0-9]*; do
        read -r state <"$task/patch_state" || continue
        [ "$state" != "$1" ] || continue
        read -r command <"$task/comm" || continue
        say blocked "$(echo "${task##*/} $command" | field)" "$(head -c 2048 "$task/stack" | field)"
        blocked=$((blocked + 1))
        [ "$blocked" -lt 16 ] || break
    done
} 2>/dev/null

# Runs every check; what a check leaves running does not outlive it. The output goes to files of
# at most 1 MiB (2048 blocks): a pipe would stay open as long as anything that the check started.
run_checks() {
    for file in /trial/checks/*; do
        [ -f "$file" ] || continue
        (
            ulimit -f 2048
            exec timeout -s KILL "$check_seconds" sh "$file"
        ) </dev/null >/tmp/output 2>/tmp/errors 9>&-
        status=$?
        kill -9 -1 2>/dev/null
        say check "$1" "${file##*/}" "$status" \
            "$(head -c "$check_bytes" /tmp/output | field)" "$(head -c 2048 /tmp/errors | field)"
    done
}

load_livepatch() {
    if ! insmod /trial/module.ko >/tmp/errors 2>&1 9>&-; then
        say load-failed "$(head -c 2048 /tmp/errors | field)"
        finish
    fi
}

# await_patched NAME: until all tasks run the new code; NAME is what is reported as stalled.
await_patched() {
    if ! await settled "$transition_seconds"; then
        report_blocked 1
        say stalled "$1"
        finish
    fi
}

# revert_livepatch NAME: until all tasks run the old code.
revert_livepatch() {
    if ! echo 0 >"$livepatch/enabled"; then
        say disable-failed
        finish
    fi
    if ! await gone "$transition_seconds"; then
        report_blocked 0
        say stalled "$1"
        finish
    fi
}

await_unloaded() {
    if ! await unloaded 10; then
        say unload-failed "$(head -c 2048 /tmp/errors | field)"
        finish
    fi
}

say release "$(uname -r | tr -d '\n' | field)"
taint
phase modules
load_modules report
for module in $patched_modules; do
    say module-loaded "$module"
done
phase before
run_checks before

phase load
load_livepatch
if [ ! -d "$livepatch" ]; then
    say no-livepatch
    finish
fi

phase transition
await_patched transition
phase after
read -r enabled <"$livepatch/enabled"
functions=0
for directory in "$livepatch"/*/*/; do
    [ ! -d "$directory" ] || functions=$((functions + 1))
done
say livepatch "$enabled" "$functions"
report_objects first
run_checks after

phase revert
revert_livepatch revert

phase unload
await_unloaded

phase reverted
run_checks reverted
[ -n "$patched_modules" ] || finish

# Once more the other way round, as it is on hosts where a module comes later: the kernel patches it
# while it is loaded.
phase away
: >/tmp/errors
if ! unload_modules; then
    say late-skipped "$(head -c 2048 /tmp/errors | field)"
    finish
fi
phase again
load_livepatch
await_patched again
phase coming
expected=$patched_modules
load_modules quiet
for module in $expected; do
    grep -q "^$module " /proc/modules || say late-refused "$module" "$(head -c 2048 /tmp/errors | field)"
done
report_objects late
run_checks late
phase leaving
revert_livepatch leaving
await_unloaded
say late-done
finish
