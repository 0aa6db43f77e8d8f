#!/usr/bin/env bash
# Runs pytest, and runs once more, by themselves, the tests that have failed: beside hundreds of others on two cores something may come
# too late. A test that finds something doubled, or a world that does not come to rest, ends pytest with another status, and is not
# run again (tests/end_to_end/conftest.py). The first report stays in target/pytest, and the names of what failed at first come last.
set -uo pipefail
mkdir -p target/pytest
first=target/pytest/failed-at-first-$$.log
"$@" 2>&1 | tee "$first"
status=${PIPESTATUS[0]}
if [ "$status" != 1 ]; then
    rm -f "$first"
    exit "$status"
fi
echo "once more, by themselves: the tests that have failed"
"$@" --last-failed --last-failed-no-failures none || exit
printf 'failed beside others, and not by itself (%s): %s\n' "$first" "$(grep -o '^FAILED [^ ]*' "$first" | tr '\n' ' ')"
