#!/usr/bin/env bash
# With ROS 2 found: builds the workspace with colcon by the project's own interpreter and runs the tests marked `ros`.
# Talks on loopback only.
set -euo pipefail
ros_setup=$1
bin=$2
root=$(cd "$(dirname "$0")/.." && pwd)

# colcon lives in an environment of its own: it brings pytest plugins and another setuptools.
colcon_venv=$root/build/.colcon
if [ ! -x "$colcon_venv/bin/colcon" ]; then
    "$bin/python" -m venv "$colcon_venv"
    "$colcon_venv/bin/pip" install --quiet --disable-pip-version-check \
        colcon-common-extensions 'empy==3.3.4' lark catkin_pkg numpy 'setuptools<81' 2> >(grep -v '^WARNING: Location' >&2)
fi

set +u
# shellcheck disable=SC1090
source "$ros_setup"
set -u
export PATH="$colcon_venv/bin:$PATH"
export ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST ROS_PYTHON_CHECK_FIELDS=1
cd "$root"
colcon --log-base log build --base-paths src --event-handlers console_direct- \
    --cmake-args -DPython3_EXECUTABLE="$colcon_venv/bin/python"
set +u
# shellcheck disable=SC1091
source install/local_setup.bash
set -u
# Of the pytest plugins that ROS 2 brings only launch_pytest: the others need more than the locked packages.
PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 "$bin/python" -m pytest -q -p pytest_timeout -p launch_pytest.plugin -m ros
