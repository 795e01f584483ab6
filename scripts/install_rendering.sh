#!/usr/bin/env bash
# Makes sure that MuJoCo can render off screen; installs Mesa where this user may. Never fails: what needs
# rendering says itself what is missing.
set -u
python=$1

works() { "$python" -c 'from glue_bringup.sim.rendering import require_rendering; require_rendering()' >/dev/null 2>&1; }

works && exit 0
packages="libegl1 libgl1-mesa-dri libosmesa6"
as_root=
[ "$(id -u)" = 0 ] || as_root="sudo -n"
if command -v apt-get >/dev/null && $as_root true 2>/dev/null; then
    echo "installing the rendering libraries $packages"
    export DEBIAN_FRONTEND=noninteractive
    { $as_root apt-get update -qq && $as_root apt-get install -y -qq --no-install-recommends $packages; } >/dev/null 2>&1
fi
works || echo "warning: no off-screen rendering; install it with: sudo apt-get install $packages" >&2
exit 0
