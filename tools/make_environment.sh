#!/bin/sh
# Creates the virtual environment $1 from requirements.lock; needs only Python 3.11 to 3.13.
set -eu
venv=$1

python=
for candidate in ${PYTHON:-} python3 python3.13 python3.12 python3.11 python; do
    if "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then
        python=$candidate
        break
    fi
done
if [ -z "$python" ]; then
    echo "No Python 3.11, 3.12 or 3.13 was found (TensorFlow has no packages for others)." >&2
    echo "  → install one, or pass its path: make PYTHON=/path/to/python3.12 run" >&2
    exit 1
fi

if ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    echo "Creating the environment in $venv with $("$python" --version) …"
    if ! "$python" -m venv --clear "$venv"; then
        echo "  → on Debian and Ubuntu, install the venv module: apt-get install python3-venv" >&2
        exit 1
    fi
fi
stop() {
    echo "The installation did not finish; see the lines above." >&2
    echo "  → check the network or the package mirror, then run the same command again" >&2
    exit 1
}
packages=$(grep -c "^[^ #].*==" requirements.lock)
echo "Installing some $packages pinned packages (about 1 GB to download, 4 GB on the disk; two to five minutes) …"
export PIP_DISABLE_PIP_VERSION_CHECK=1
# The status of a pipe is that of its last command, so a file records a failure of pip.
failed=$venv/.failed
rm -f "$failed"
{ "$venv/bin/python" -m pip install --require-hashes --progress-bar on -r requirements.lock 2>&1 || touch "$failed"; } |
    awk '/^Collecting/ { n++; printf "  %d: %s\n", n, $2; fflush(); next } /^ERROR/ { print; fflush() }
         /^Installing/ { printf "Unpacking the %d packages, which takes one to three minutes …\n", n; fflush() }
         { last = $0 } END { if (n == 0) print last }'
[ ! -e "$failed" ] || stop
{ "$venv/bin/python" -m pip install --quiet --no-deps --no-build-isolation --editable . 2>&1 || touch "$failed"; } |
    grep -v '^WARNING' || true
[ ! -e "$failed" ] || stop
"$venv/bin/python" -c 'import importlib.metadata as m; m.version("tensorflow"); m.version("osemn-vision")' || stop
touch "$venv/.ready"
echo "The environment in $venv is ready."
