#!/bin/sh
# Writes requirements.lock: exact versions with hashes for every supported Python and system, without index addresses.
set -eu
.venv/bin/python -m venv .venv/lock
.venv/lock/bin/python -m pip install --quiet "uv>=0.8"
.venv/lock/bin/uv pip compile pyproject.toml --extra test --universal --python-version 3.11 \
    --generate-hashes --no-header --no-emit-index-url --upgrade --quiet --output-file requirements.lock
