#!/usr/bin/env bash
# With ROS 2 found: builds the workspace with colcon by the project's own interpreter and runs the tests marked `ros`.
# Talks on loopback only.
set -euo pipefail
ros_setup=$1
bin=$2
root=$(cd "$(dirname "$0")/.." && pwd)

"$bin/python" -c 'import colcon_core, em, lark, catkin_pkg' 2>/dev/null ||
    "$bin/python" -m pip install --quiet --disable-pip-version-check \
        colcon-common-extensions 'empy==3.3.4' lark catkin_pkg 2> >(grep -v '^WARNING: Location' >&2)

set +u
# shellcheck disable=SC1090
source "$ros_setup"
set -u
export PATH="$bin:$PATH"
export ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST ROS_PYTHON_CHECK_FIELDS=1
cd "$root"
"$bin/colcon" --log-base log build --base-paths src --event-handlers console_direct- \
    --cmake-args -DPython3_EXECUTABLE="$bin/python"
set +u
# shellcheck disable=SC1091
source install/local_setup.bash
set -u
"$bin/python" -m pytest -q -m ros
