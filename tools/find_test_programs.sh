#!/bin/sh
# Finds the external programs that tests use, or installs them as Debian packages if that needs no password. Tests whose
# program is missing are skipped with a message.
set -u

install() {  # install PURPOSE PACKAGE...
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1 || return 1
    echo "Installing $1 …"
    shift
    apt-get update -qq >/dev/null 2>&1 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$@" >/dev/null 2>&1
}

browser=
for name in chromium chromium-browser google-chrome google-chrome-stable; do
    browser=${browser:-$(command -v "$name" 2>/dev/null)}
done
if [ -n "$browser" ]; then
    echo "Browser tests use $browser."
elif ! install "Chromium for the browser tests" chromium fonts-dejavu-core; then
    echo "Chromium is not available: the browser tests will be skipped. Install chromium to run them."
fi

server=$(ls /usr/lib/postgresql/*/bin/initdb 2>/dev/null | tail -n 1)
server=${server:-$(command -v initdb 2>/dev/null)}
if [ -n "$server" ]; then
    echo "Database tests use $(dirname "$server")."
elif ! install "PostgreSQL for the database tests" postgresql; then
    echo "PostgreSQL is not available: the database tests will be skipped. Install postgresql to run them."
fi

if command -v nginx >/dev/null 2>&1 || [ -x /usr/sbin/nginx ]; then
    echo "Tests of downloads use nginx."
elif ! install "nginx for the tests of downloads" nginx-light openssl; then
    echo "nginx is not available: the tests of downloads from web servers will be skipped. Install nginx to run them."
fi
exit 0
