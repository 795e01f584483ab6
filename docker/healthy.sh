#!/bin/bash
# Exit code 0 if every node named is in the lifecycle state active. A node that is gone would be waited for without end.
set -e
# shellcheck disable=SC1091
source /opt/ros/jazzy/setup.bash
for node in "$@"; do
    state=$(timeout "${HEALTH_TIMEOUT_S:-10}" ros2 lifecycle get --no-daemon --spin-time 2 "/$node" 2>/dev/null) ||
        { echo "$node does not answer"; exit 1; }
    [[ $state == active* ]] || { echo "$node is $state"; exit 1; }
done
