#!/bin/sh
# Sees to a Chromium for the browser tests: takes one that is there, or Debian's package where that needs no password.
set -u
for name in chromium chromium-browser google-chrome google-chrome-stable; do
    if command -v "$name" >/dev/null 2>&1; then
        echo "Browser tests use $(command -v "$name")."
        exit 0
    fi
done
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "Installing Chromium for the browser tests …"
    if apt-get update -qq >/dev/null 2>&1 && apt-get install -y -qq chromium fonts-dejavu-core >/dev/null 2>&1; then
        exit 0
    fi
fi
echo "No Chromium can be had here: the browser tests will be skipped. Install chromium to run them."
