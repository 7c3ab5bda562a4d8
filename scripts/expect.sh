# shellcheck shell=sh
# Expectations of the scripts that test: sourced, not run, where $place is a directory for what is said.

failures=0
# expect WHAT COMMAND…: the command must succeed. Those that do not are told with what they say, and counted in
# $failures.
expect() {
    what=$1
    shift
    if "$@" > "$place/said" 2>&1; then
        echo "ok    $what"
    else
        echo "WRONG $what"
        sed 's/^/      /' "$place/said"
        failures=$((failures + 1))
    fi
}
not() { ! "$@"; }
# wait_for COMMAND…: until it succeeds, for a minute; what it says at last is for expect.
wait_for() {
    for _ in $(seq 60); do
        ! "$@" >/dev/null 2>&1 || return 0
        sleep 1
    done
    "$@"
}
