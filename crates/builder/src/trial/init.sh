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
read -r new </trial/name
read -r transition_seconds </trial/transition-seconds
read -r check_seconds </trial/check-seconds
read -r check_bytes </trial/check-bytes
rm /trial/nonce /trial/mark
patched_modules=

# choose FILE NAME: the livepatch that the functions below work on.
choose() {
    livepatch_file=$1
    name=$2
    livepatch=/sys/kernel/livepatch/$name
}

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

# The kernel gives this file to one read only, and the shell reads byte by byte: it would see the first digit.
taint_flags() {
    cat /proc/sys/kernel/tainted
}

taint() {
    say taint "$(taint_flags)"
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

# report_livepatch WHEN: whether it is enabled, and how many functions it has.
report_livepatch() {
    enabled=0
    read -r enabled <"$livepatch/enabled"
    functions=0
    for directory in "$livepatch"/*/*/; do
        [ ! -d "$directory" ] || functions=$((functions + 1))
    done
    say livepatch "$1" "$enabled" "$functions"
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

# Sets $unsigned to the kernel's taint flag for modules that it could not verify (bit 13, E).
read_unsigned() {
    unsigned=$(($(taint_flags) >> 13 & 1))
}

# What the kernel makes of the module's signature. When it has verified it, it is told to take only signed
# modules, which cannot be undone: so this comes last. It must refuse the module without its signature, and with a
# byte changed, and take it as it is.
try_signature() {
    [ -f /trial/unsigned.ko ] || return 0
    phase signature
    enforce=/sys/module/module/parameters/sig_enforce
    # Without it the kernel looks at no signature. With the flag from before it cannot be told of this one.
    if [ ! -e "$enforce" ] || [ "$unsigned_before" = 1 ]; then
        say signature not-checked
        return 0
    fi
    if [ "$unsigned_after" = 1 ]; then
        say signature not-trusted
        return 0
    fi
    state=
    echo Y >"$enforce"
    read -r state <"$enforce"
    if [ "$state" != Y ]; then
        say signature not-checked
        return 0
    fi
    for copy in unsigned tampered; do
        if insmod "/trial/$copy.ko" >/tmp/errors 2>&1 9>&-; then
            say signature-accepted "$copy"
            finish
        fi
    done
    load_livepatch
    await_patched signature
    revert_livepatch signature
    await_unloaded
    say signature enforced
}

load_livepatch() {
    if ! insmod "$livepatch_file" >/tmp/errors 2>&1 9>&-; then
        say load-failed "$(head -c 2048 /tmp/errors | field)"
        finish
    fi
    if [ ! -d "$livepatch" ]; then
        say no-livepatch
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

# Whether the chosen livepatch and the earlier one are enabled, in $new_enabled and $old_enabled. The
# earlier one is read first: then both are 0 only when neither was enabled at the second reading.
look() {
    old_enabled=0
    new_enabled=0
    read -r old_enabled <"/sys/kernel/livepatch/$earlier/enabled"
    read -r new_enabled <"$livepatch/enabled"
} 2>/dev/null

# Loads the chosen livepatch over the earlier one. All the while one of the two must be enabled: it
# is looked at without a rest, from before the loading until the transition is over.
load_over() {
    rm -f /tmp/status
    { insmod "$livepatch_file" >/tmp/errors 2>&1; echo $? >/tmp/status; } 9>&- &
    looks=0
    over=
    read -r now idle </proc/uptime
    deadline=$((${now%.*} + transition_seconds))
    until [ "$over" = 1 ] || [ "${now%.*}" -ge "$deadline" ]; do
        # Asked before the look: the last look comes after the transition.
        if [ -s /tmp/status ]; then
            { [ -d "$livepatch" ] && ! settled; } || over=1
        fi
        look
        looks=$((looks + 1))
        if [ "$old_enabled" != 1 ] && [ "$new_enabled" != 1 ]; then
            say gap
            finish
        fi
        read -r now idle </proc/uptime
    done
    status=0
    [ ! -s /tmp/status ] || read -r status </tmp/status
    if [ "$status" != 0 ]; then
        say load-failed "$(head -c 2048 /tmp/errors | field)"
        finish
    fi
    if [ -s /tmp/status ] && [ ! -d "$livepatch" ]; then
        say no-livepatch
        finish
    fi
    await_patched replace
}

# Once more as it is on hosts where an earlier livepatch is active: the new one takes its place.
try_replacing() {
    read -r earlier </trial/earlier-name
    phase earlier
    choose /trial/earlier.ko "$earlier"
    load_livepatch
    await_patched earlier
    choose /trial/module.ko "$new"
    phase replace
    load_over
    phase replaced
    report_livepatch over
    # The core removes the earlier one's directory some time after the transition, in a work of its
    # own (klp_free_replaced_patches_async() in kernel/livepatch/core.c); only then can it be unloaded.
    choose /trial/earlier.ko "$earlier"
    if ! await gone 10; then
        state=unknown
        read -r state <"$livepatch/enabled"
        say not-replaced "$state"
        finish
    fi
    if ! await unloaded 10; then
        say earlier-stays "$(head -c 2048 /tmp/errors | field)"
        finish
    fi
    choose /trial/module.ko "$new"
    say replaced "$looks"
    run_checks replaced
    phase retire
    revert_livepatch retire
    await_unloaded
    phase retired
    run_checks retired
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

choose /trial/module.ko "$new"
read_unsigned
unsigned_before=$unsigned
phase load
load_livepatch
read_unsigned
unsigned_after=$unsigned

phase transition
await_patched transition
phase after
report_livepatch first
report_objects first
run_checks after

phase revert
revert_livepatch revert

phase unload
await_unloaded

phase reverted
run_checks reverted
[ ! -f /trial/earlier.ko ] || try_replacing
if [ -z "$patched_modules" ]; then
    try_signature
    finish
fi

# Once more the other way round, as it is on hosts where a module comes later: the kernel patches it
# while it is loaded.
phase away
: >/tmp/errors
if ! unload_modules; then
    say late-skipped "$(head -c 2048 /tmp/errors | field)"
    try_signature
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
try_signature
finish
