#!/usr/bin/env bash
# Runs a command that ends in a `cargo test … --`, and runs once more, one after the other, the few tests that have failed: many here
# hold a real process to a lease or a budget of seconds, and a machine that stands still for as long, or whose clock is set meanwhile,
# breaks them all. What fails again has failed, and so has a run with more failures than such a moment explains. The first report
# stays in target/failed-at-first, and the names of what failed at first come last. Not for tests that choose their faults at
# random (kills, load): what they find may not come again.
set -uo pipefail
explained=8
mkdir -p target/failed-at-first
first=target/failed-at-first/$$.log
"$@" 2>&1 | tee "$first"
status=${PIPESTATUS[0]}
# The last list of failures; the one before it holds what they have printed.
names=$(awk '/^failures:$/ { names = "" } /^    [a-z0-9_:]+$/ { names = names " " $1 } END { print names }' "$first")
if [ "$status" = 0 ]; then
    rm -f "$first"
    exit 0
fi
# shellcheck disable=SC2086 # a name of a test has no spaces
set -- "$@" --exact $names
count=$(wc -w <<< "$names")
if [ "$count" = 0 ] || [ "$count" -gt $explained ]; then
    exit "$status"
fi
echo "once more, by themselves:$names"
RUST_TEST_THREADS=1 "$@" || exit
printf 'failed beside others, and not by itself (%s):%s\n' "$first" "$names"
