# The embedded default: everything that `make demo` needs, on the processor alone, without ROS.
# Build from the repository's root: docker build -f docker/embedded.Dockerfile -t glue .
FROM python:3.12-slim

# Off-screen OpenGL for the simulated camera; make and git for the two commands and the recorded revision.
# hadolint ignore=DL3008  # Debian's mirrors drop old versions: a pinned one cannot be built twice
RUN apt-get update \
    && apt-get install -y --no-install-recommends git make libegl1 libgl1-mesa-dri libosmesa6 \
    && rm -rf /var/lib/apt/lists/*

# An ordinary user; its number is that of the owner of the folder mounted for results.
ARG USER_ID=1000
RUN useradd --uid "${USER_ID}" --create-home glue && install -d -o glue /glue /glue/out
USER ${USER_ID}
WORKDIR /glue

# Where pip looks beside its default, e.g. an index of torch builds without CUDA, which are gigabytes smaller.
ARG PIP_EXTRA_INDEX_URL=

# The environment first: it changes seldom and takes long.
COPY --chown=glue Makefile requirements.lock ./
COPY --chown=glue scripts scripts
COPY --chown=glue src src
RUN make setup

COPY --chown=glue . .
# Results go to /glue/out: docker run --rm -v "$PWD/out:/glue/out" glue
CMD ["make", "demo"]
