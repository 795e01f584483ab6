# ROS 2 Jazzy, two images from one file:
#   realtime  the computer on the robot's network port: arm_node; no torch
#   gpu       the computer with the camera and the GPU: everything
# Build from the repository's root, by compose (docker/README.md) or:
#   docker build -f docker/ros.Dockerfile --target gpu -t glue:gpu .

FROM ros:jazzy-ros-base-noble AS base

# Cyclone DDS: one implementation on both computers. hidapi: SpaceMouse. usb: RealSense.
# hadolint ignore=DL3008  # Ubuntu's mirrors drop old versions: a pinned one cannot be built twice
RUN apt-get update \
    && apt-get install -y --no-install-recommends \
        libhidapi-hidraw0 \
        libusb-1.0-0 \
        python3-colcon-common-extensions \
        python3-venv \
        ros-jazzy-diagnostic-msgs \
        ros-jazzy-rmw-cyclonedds-cpp \
        ros-jazzy-rosbag2-storage-mcap \
    && rm -rf /var/lib/apt/lists/*

# An ordinary user. Ubuntu's image has one with number 1000 already. The numbers of plugdev and video are the same on
# every Debian and Ubuntu, so the host's udev rules for these groups hold inside.
ARG USER_ID=1000
RUN if getent passwd ubuntu; then userdel --remove ubuntu; fi \
    && useradd --uid "${USER_ID}" --create-home --shell /bin/bash --groups plugdev,video glue \
    && install -d -o glue -g glue /opt/glue /bags /weights
USER ${USER_ID}
WORKDIR /opt/glue

# ROS's own modules come through PYTHONPATH, ours through this environment; see docs/install.md.
RUN python3 -m venv venv
ENV VIRTUAL_ENV=/opt/glue/venv \
    GLUE_PYTHON=/opt/glue/venv/bin/python \
    GLUE_WEIGHTS_DIR=/weights \
    RMW_IMPLEMENTATION=rmw_cyclonedds_cpp \
    PATH=/opt/glue/venv/bin:$PATH
COPY --chown=glue:glue requirements.lock ./


# The messages and the packages, without the Python packages they need.
FROM base AS workspace
COPY --chown=glue:glue colcon.meta ./
COPY --chown=glue:glue src src
# The system's interpreter builds, as ROS's own build tools are installed for it.
RUN . /opt/ros/jazzy/setup.sh \
    && PATH=/usr/local/bin:/usr/bin:/bin:$PATH colcon build --base-paths src \
        --cmake-args -DPython3_EXECUTABLE=/usr/bin/python3


FROM base AS realtime
COPY --chown=glue:glue docker/requirements-realtime.txt docker/
# Version of the robot's server: 5 is a Panda's newest system, 10 an FR3's. The franky project publishes wheels for each;
# they outrank the package index's own wheel of the same version.
ARG ROBOT_SERVER_VERSION=5
ARG FRANKY_WHEELS=https://timschneider42.github.io/franky/whl/by-robot-server-version
RUN pip install --no-cache-dir -c requirements.lock -r docker/requirements-realtime.txt \
        --extra-index-url "${FRANKY_WHEELS}/${ROBOT_SERVER_VERSION}/" \
    && pip show franky-control
COPY --chown=glue:glue src src
RUN pip install --no-cache-dir --no-deps --no-build-isolation \
        src/glue_perception src/glue_policy src/glue_bringup
COPY --from=workspace --chown=glue:glue /opt/glue/install install
COPY --chown=glue:glue docker/entrypoint.sh docker/healthy.sh docker/
COPY --chown=glue:glue docker/cyclonedds docker/cyclonedds
ENTRYPOINT ["/opt/glue/docker/entrypoint.sh"]
CMD ["python", "-m", "glue_bringup.nodes", "arm_node"]


FROM base AS gpu
ARG USER_ID=1000
USER root
# Off-screen OpenGL for the simulation twin; the layouts of both viewers need a screen or a browser.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends \
        libegl1 \
        libgl1-mesa-dri \
        libosmesa6 \
        ros-jazzy-foxglove-bridge \
        ros-jazzy-rviz2 \
    && rm -rf /var/lib/apt/lists/*
USER ${USER_ID}
COPY --chown=glue:glue docker/requirements-realtime.txt docker/requirements-gpu.txt docker/
# torch of this version from the package index is the CUDA build and names its own CUDA packages exactly.
RUN pip install --no-cache-dir -c requirements.lock -r docker/requirements-gpu.txt
COPY --chown=glue:glue src src
RUN pip install --no-cache-dir --no-deps --no-build-isolation \
        src/glue_perception src/glue_policy src/glue_bringup
COPY --from=workspace --chown=glue:glue /opt/glue/install install
COPY --chown=glue:glue docker/entrypoint.sh docker/healthy.sh docker/
COPY --chown=glue:glue docker/cyclonedds docker/cyclonedds
ENTRYPOINT ["/opt/glue/docker/entrypoint.sh"]
CMD ["ros2", "launch", "glue_bringup", "real.launch.py", "arm:=false"]
