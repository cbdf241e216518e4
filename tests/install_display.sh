#!/bin/sh
# The GUI tests draw in a real window: Xvfb and Mesa's software GL, plus what Qt's xcb plugin
# loads. Installs them when root on Debian or Ubuntu and missing; says what to do otherwise.
set -eu

packages="xvfb libgl1 libegl1 libgl1-mesa-dri libxkbcommon-x11-0 libdbus-1-3 libxcb-cursor0
libxcb-icccm4 libxcb-image0 libxcb-keysyms1 libxcb-randr0 libxcb-render-util0 libxcb-shape0
libxcb-xinerama0 libxcb-xfixes0"

[ "$(uname -s)" = Linux ] || exit 0
command -v dpkg-query >/dev/null 2>&1 || exit 0

missing=""
for package in $packages; do
    state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$state" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" -eq 0 ]; then
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    # shellcheck disable=SC2086 - the names are separate words
    apt-get install -y -qq --no-install-recommends $missing >/dev/null
else
    echo "The GUI tests need these packages: sudo apt-get install$missing" >&2
    exit 1
fi
