#!/usr/bin/env bash
# Run commands at the same time: the first one in sight, the others with less priority, shown when they have ended.
# Fails when one fails, after all have ended; ends all when it is ended.
#
#   tools/side_by_side.sh COMMAND COMMAND...      each is one word for the shell
set -uo pipefail

logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
trap 'kill $(jobs -p) 2>/dev/null; exit 130' INT TERM

first=$1
shift
jobs=()
for command in "$@"; do
  nice -n 10 bash -c "$command" >"$logs/${#jobs[@]}" 2>&1 </dev/null &
  jobs+=($!)
done
bash -c "$first"
failed=$?
for number in "${!jobs[@]}"; do
  wait "${jobs[$number]}" || failed=1
  cat "$logs/$number"
done
exit $failed
