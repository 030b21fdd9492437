#!/bin/sh
# Runs the unit tests and, at the same time, nbval on the notebooks, because neither keeps all cores busy.
# Called by `make test` with the environment's programs and a folder for the output of the notebooks.
set -u
bin=$1 output=$2
mkdir -p "$output"
without=$("$bin/python" tools/missing_weights.py) || exit 1
log=$output/nbval.log
echo "nbval runs the notebooks at the same time as the unit tests; its output follows theirs."
# shellcheck disable=SC2086 # several options, or none
OSEMN_OUTPUT_DIR=$output "$bin/python" -m pytest --nbval-lax -p no:cacheprovider notebooks/ $without >"$log" 2>&1 &
notebooks=$!
trap 'kill "$notebooks" 2>/dev/null; exit 130' INT TERM
# loadfile: the tests of a file share its fixtures. One process more than cores, because tests wait for processes that they
# start; four at most, to fit into the memory of a laptop.
workers=$("$bin/python" -c "from helpers.series import records; print(min(4, records.usable_cores() + 1))") || exit 1
"$bin/python" -m pytest -n "$workers" --dist loadfile tests
units=$?
wait "$notebooks"
checked=$?
cat "$log"
if [ "$units" -ne 0 ] || [ "$checked" -ne 0 ]; then
    echo "The tests failed (unit tests: exit $units; notebooks: exit $checked)." >&2
    exit 1
fi
