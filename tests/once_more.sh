#!/usr/bin/env bash
# Runs pytest, and runs once more, by themselves, the tests that have failed: beside hundreds of others on two cores something may come
# too late. A test that finds something doubled, or a world that does not come to rest, ends pytest with another status, and is not
# run again (tests/end_to_end/conftest.py). What has failed is printed in any case.
set -uo pipefail
"$@"
status=$?
[ "$status" = 1 ] || exit "$status"
echo "once more, by themselves: the tests that have failed"
exec "$@" --last-failed --last-failed-no-failures none
