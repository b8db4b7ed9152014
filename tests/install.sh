#!/bin/sh
# Install the Debian packages named as arguments that are not installed yet.
# Needs root or sudo for that; without either it prints the exact list and stops.
set -eu

if ! command -v dpkg-query >/dev/null; then
    echo "This is not a Debian system. Install the equivalents of these packages, then try again:" >&2
    echo "  $*" >&2
    echo "If they are there already, say so with: mkdir -p build && touch build/.setup-build build/.setup-test build/.setup-debug build/.setup-bench" >&2
    exit 1
fi

missing=
for package in "$@"; do
    status=$(dpkg-query -W -f='${Status}' "$package" 2>/dev/null || true)
    [ "$status" = "install ok installed" ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ]; then
    as_root=
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null || [ -t 0 ] && command -v sudo >/dev/null; then
    as_root=sudo
else
    echo "These packages are missing; install them as root, then try again:" >&2
    echo "  apt-get install --no-install-recommends$missing" >&2
    exit 1
fi

echo "Installing what is missing:$missing"
export DEBIAN_FRONTEND=noninteractive
if ! { $as_root apt-get update -q && $as_root apt-get install -y -q --no-install-recommends $missing; } \
        > build-install.log 2>&1; then
    tail -n 20 build-install.log >&2
    rm -f build-install.log
    echo "The installation failed; the lines above say why. Install by hand: apt-get install$missing" >&2
    exit 1
fi
rm -f build-install.log
