#!/bin/sh
# Runs the unit tests, and beside them nbval on the notebooks: neither keeps all cores busy by itself.
# Called by `make test` with the environment's programs and a folder for what the notebooks write.
set -u
bin=$1 output=$2
mkdir -p "$output"
without=$("$bin/python" tools/missing_weights.py) || exit 1
log=$output/nbval.log
echo "nbval runs the notebooks beside the unit tests; what it says comes after theirs."
# shellcheck disable=SC2086 # several options, or none
OSEMN_OUTPUT_DIR=$output "$bin/python" -m pytest --nbval-lax -p no:cacheprovider notebooks/ $without >"$log" 2>&1 &
notebooks=$!
trap 'kill "$notebooks" 2>/dev/null; exit 130' INT TERM
# a file's tests stay in one process, where its fixtures are; more than four processes want more memory than laptops have
"$bin/python" -m pytest -n logical --maxprocesses=4 --dist loadfile tests
units=$?
wait "$notebooks"
checked=$?
cat "$log"
if [ "$units" -ne 0 ] || [ "$checked" -ne 0 ]; then
    echo "The tests failed (unit tests: exit $units; notebooks: exit $checked)." >&2
    exit 1
fi
