#!/usr/bin/env bash
# Runs commands beside each other: `beside.sh COMMAND…`, each argument one command of the shell. What a command prints
# is shown when it ends, the last lines of one that succeeds and all of one that fails. Fails if one of them does.
set -uo pipefail

logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT

run() {
    local command=$1 log=$2 start=$SECONDS status=0
    bash -c "$command" > "$log" 2>&1 < /dev/null || status=$?
    if [ $status = 0 ]; then
        printf '== %s: ok after %s s\n%s\n' "$command" $((SECONDS - start)) "$(tail -n 3 "$log")"
    else
        printf '== %s: failed after %s s\n%s\n' "$command" $((SECONDS - start)) "$(< "$log")"
    fi
    return $status
}

# Whoever interrupts this interrupts all of them, with what they have started.
set -m
started=()
trap 'for process in "${started[@]}"; do kill -- "-$process" 2> /dev/null; done; exit 130' INT TERM HUP
for command in "$@"; do
    run "$command" "$logs/${#started[@]}" &
    started+=($!)
done
failed=0
for process in "${started[@]}"; do
    wait "$process" || failed=1
done
exit $failed
