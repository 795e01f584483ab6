#!/bin/bash
# ROS 2, the built workspace, and the environment with the project's Python packages.
set -e
# shellcheck disable=SC1091
source /opt/ros/jazzy/setup.bash
# shellcheck disable=SC1091
source /opt/glue/install/local_setup.bash
export PATH="${VIRTUAL_ENV}/bin:${PATH}"
# ros2 launch refuses arguments without a value, which compose makes of variables that are not set.
words=()
for word in "$@"; do
    [[ $word == *:= ]] || words+=("$word")
done
exec "${words[@]}"
