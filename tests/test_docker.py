"""What can be said of the docker files without building them: they fit the repository, the lock and each other."""

import ast
import importlib.metadata
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from glue_bringup.nodes.__main__ import NODES

ROOT = Path(__file__).parents[1]
DOCKER = ROOT / "docker"
DOCKERFILES = sorted(DOCKER.glob("*.Dockerfile"))
LOCK = {
    canonicalize_name(line.split("==")[0])
    for line in (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
}
ENVIRONMENT = dict(
    line.split("=", 1)
    for line in (DOCKER / "env.example").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
)
COMPOSE_TEXT = (DOCKER / "compose.yaml").read_text(encoding="utf-8")
VARIABLE = re.compile(r"\$\{(\w+)(?::([-?])([^}]*))?\}")


def instructions(dockerfile: Path) -> list[tuple[str, str]]:
    """The instructions of a Dockerfile in order: name and the rest, comments left out, lines joined."""
    lines = [
        line
        for line in dockerfile.read_text(encoding="utf-8").splitlines()
        if not line.lstrip().startswith("#")
    ]
    joined = "\n".join(lines).replace("\\\n", " ")
    return [(word[0].upper(), word[1]) for line in joined.splitlines() if (word := line.split(None, 1))]


def stages(dockerfile: Path) -> dict[str, list[tuple[str, str]]]:
    """The instructions of every stage with those of the stages it is made from before its own."""
    found: dict[str, list[tuple[str, str]]] = {}
    name = ""
    for instruction, rest in instructions(dockerfile):
        if instruction == "FROM":
            image, *alias = rest.split()
            name = alias[1] if alias else "image"
            found[name] = list(found.get(image, []))
        found.setdefault(name, []).append((instruction, rest))
    return found


def copied(rest: str) -> list[str]:
    """Sources of a COPY that come from the repository."""
    words = shlex.split(rest)
    if any(word.startswith("--from=") for word in words):
        return []
    return [word for word in words if not word.startswith("--")][:-1]


def names_in(file: Path) -> set[str]:
    """Packages in a list for pip, with those of the lists it includes."""
    names: set[str] = set()
    for line in file.read_text(encoding="utf-8").splitlines():
        if line.startswith("-r "):
            names |= names_in(file.parent / line[3:].strip())
        elif line and not line.startswith("#"):
            names.add(canonicalize_name(line))
    return names


def compose(environment: dict[str, str] = ENVIRONMENT) -> dict[str, Any]:
    """The compose file with its variables filled in as compose does."""

    def value(match: re.Match[str]) -> str:
        given = environment.get(match[1], "")
        if not given and match[2] == "?":
            raise KeyError(match[3])
        return given or (match[3] or "" if match[2] == "-" else "")

    return yaml.safe_load(VARIABLE.sub(value, COMPOSE_TEXT))


SERVICES: dict[str, dict[str, Any]] = compose()["services"]


@pytest.fixture(params=DOCKERFILES, ids=lambda file: file.name)
def dockerfile(request: pytest.FixtureRequest) -> Path:
    return request.param


@pytest.fixture(params=sorted(SERVICES))
def service(request: pytest.FixtureRequest) -> dict[str, Any]:
    return SERVICES[request.param]


def test_whatever_is_copied_exists_and_is_sent_to_the_builder(dockerfile: Path) -> None:
    ignore = dockerfile.with_name(dockerfile.name + ".dockerignore").read_text(encoding="utf-8").split("\n")
    for instruction, rest in instructions(dockerfile):
        for source in copied(rest) if instruction == "COPY" else []:
            assert (ROOT / source).exists(), source
            if "*" in ignore:
                assert f"!{Path(source).parts[0]}" in ignore, source


def test_no_image_runs_as_root(dockerfile: Path) -> None:
    for name, stage in stages(dockerfile).items():
        users = [rest for instruction, rest in stage if instruction == "USER"]
        assert users, f"{name} has no USER"
        assert users[-1] == "${USER_ID}", name


def test_images_are_named_with_their_version(dockerfile: Path) -> None:
    known = set(stages(dockerfile))
    for instruction, rest in instructions(dockerfile):
        if instruction == "FROM" and rest.split()[0] not in known:
            assert re.fullmatch(r"(ros:jazzy-[\w-]+|python:3\.12-slim)", rest.split()[0]), rest


def test_every_build_argument_is_used(dockerfile: Path) -> None:
    text = dockerfile.read_text(encoding="utf-8")
    for instruction, rest in instructions(dockerfile):
        if instruction == "ARG" and not rest.startswith("PIP_"):  # pip reads PIP_* from its environment
            assert f"${{{rest.split('=')[0]}}}" in text, rest


def test_pip_takes_every_version_from_the_lock() -> None:
    for file in DOCKER.glob("requirements-*.txt"):
        assert names_in(file) <= LOCK, file.name
    for instruction, rest in instructions(DOCKER / "ros.Dockerfile"):
        for command in re.findall(r"pip install[^&]*", rest) if instruction == "RUN" else []:
            assert "-c requirements.lock" in command or "--no-deps" in command, command


def test_the_gpu_image_holds_all_that_the_packages_need() -> None:
    needed: set[str] = set()
    for name, extras in (
        ("glue_perception", ("full", "realsense")),
        ("glue_policy", ()),
        ("glue_bringup", ("spacemouse",)),
    ):
        project = tomllib.loads((ROOT / "src" / name / "pyproject.toml").read_text(encoding="utf-8"))[
            "project"
        ]
        lists = [project["dependencies"], *(project["optional-dependencies"][extra] for extra in extras)]
        needed |= {canonicalize_name(Requirement(text).name) for texts in lists for text in texts}
    ours = {"glue-perception", "glue-policy", "glue-bringup"}
    assert needed - ours <= names_in(DOCKER / "requirements-gpu.txt")


def with_dependencies(names: set[str]) -> set[str]:
    """The installed packages of these names and all that they need."""
    found: set[str] = set()
    wanted = sorted(names)
    while wanted:
        name = canonicalize_name(wanted.pop())
        if name in found:
            continue
        found.add(name)
        for text in importlib.metadata.requires(name) or []:
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                wanted.append(requirement.name)
    return found


def modules_of(node: str) -> list[str]:
    """What a node imports of ours, without what needs ROS."""
    text = (ROOT / f"src/glue_bringup/glue_bringup/nodes/{node}.py").read_text(encoding="utf-8")
    found = {n.module or "" for n in ast.walk(ast.parse(text)) if isinstance(n, ast.ImportFrom)}
    ours = {name for name in found if name.startswith("glue_") and not name.startswith("glue_msgs")}
    return sorted(n for n in ours if ".nodes" not in n and not n.endswith("ros_conversions"))


def nodes_of(service: dict[str, Any]) -> list[str]:
    return [word for word in service["command"] if word in NODES]


REALTIME_NODES = sorted(
    {node for s in SERVICES.values() if s["build"]["target"] == "realtime" for node in nodes_of(s)}
)


@pytest.mark.parametrize("node", REALTIME_NODES)
def test_a_node_of_the_realtime_image_loads_with_its_packages_alone(node: str) -> None:
    there = with_dependencies(names_in(DOCKER / "requirements-realtime.txt"))
    absent = {
        module
        for module, owners in importlib.metadata.packages_distributions().items()
        if all(canonicalize_name(owner) not in there for owner in owners) and not module.startswith("glue_")
    }
    assert "torch" in absent
    script = (
        "import importlib, sys\n"
        f"for name in {sorted(absent)!r}: sys.modules[name] = None\n"
        f"for name in {modules_of(node)!r}: importlib.import_module(name)\n"
        "from glue_bringup.task_config import load_task; load_task('push_button')\n"
        "import coal, franky, pinocchio\n"  # imported when they are needed
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr


def test_compose_names_what_is_not_given() -> None:
    with pytest.raises(KeyError, match=r"172\.16\.0\.2"):
        compose({**ENVIRONMENT, "ROBOT_IP": ""})


def test_the_example_environment_holds_every_variable() -> None:
    assert {match[1] for match in VARIABLE.finditer(COMPOSE_TEXT)} == set(ENVIRONMENT)


def test_a_service_is_built_as_the_dockerfile_allows(service: dict[str, Any]) -> None:
    build = service["build"]
    stage = stages(DOCKER / Path(build["dockerfile"]).name)[build["target"]]
    declared = {rest.split("=")[0] for instruction, rest in stage if instruction == "ARG"}
    assert set(build["args"]) <= declared
    assert (DOCKER / build["context"]).resolve() == ROOT


def test_a_service_is_on_the_hosts_network_and_ends_softly(service: dict[str, Any]) -> None:
    assert service["network_mode"] == "host"
    assert service["stop_signal"] == "SIGINT"
    assert service["init"] is True
    assert "privileged" not in service
    assert "user" not in service


def test_health_is_asked_of_nodes_that_the_service_runs(service: dict[str, Any]) -> None:
    _, script, *nodes = service["healthcheck"]["test"]
    assert (ROOT / script).stat().st_mode & 0o111
    assert nodes
    assert set(nodes) <= set(NODES)
    if own := nodes_of(service):
        assert nodes == own


def test_parameters_and_launch_arguments_exist(service: dict[str, Any]) -> None:
    words = service["command"]
    given = {word.split(":=")[0] for word in words if ":=" in word}
    if own := nodes_of(service):
        text = (ROOT / f"src/glue_bringup/glue_bringup/nodes/{own[0]}.py").read_text(encoding="utf-8")
    else:
        (file,) = [word for word in words if word.endswith(".launch.py")]
        folder = ROOT / "src/glue_bringup"
        parts = [folder / "launch" / file, *(folder / "glue_bringup/nodes").glob("launch_*.py")]
        text = "".join(part.read_text(encoding="utf-8") for part in parts)
    for name in given:
        assert f'"{name}"' in text, name


def test_the_arm_gets_real_time_and_perception_the_gpu() -> None:
    limits = SERVICES["arm"]["ulimits"]
    assert limits == {"rtprio": 99, "memlock": -1}
    (device,) = SERVICES["graph"]["deploy"]["resources"]["reservations"]["devices"]
    assert device["capabilities"] == ["gpu"]


def test_cyclone_dds_gets_every_name_it_asks_for(service: dict[str, Any]) -> None:
    xml = (DOCKER / "cyclonedds/two_computers.xml").read_text(encoding="utf-8")
    assert set(re.findall(r"\$\{(\w+)\}", xml)) <= set(service["environment"])


def test_documents_name_the_locked_franky() -> None:
    (version,) = re.findall(
        r"^franky-control==(.*)$", (ROOT / "requirements.lock").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert f"franky-control=={version}" in (ROOT / "docs/install.md").read_text(encoding="utf-8")


def test_the_readme_says_what_was_not_tried() -> None:
    head = (DOCKER / "README.md").read_text(encoding="utf-8").split("\n\n")[1]
    assert "has been built" in head


def test_udev_knows_the_spacemice_that_pyspacemouse_knows() -> None:
    rules = (ROOT / "scripts/99-glue.rules").read_text(encoding="utf-8").lower()
    package = importlib.metadata.distribution("pyspacemouse")
    (file,) = [f for f in package.files or [] if f.name == "devices.toml"]
    text = Path(str(package.locate_file(file))).read_text(encoding="utf-8")
    pairs = re.findall(r"hid_id = \[0x(\w+), 0x(\w+)\]", text)
    assert pairs
    for vendor, product in pairs:
        assert f'attrs{{idvendor}}=="{vendor.lower():0>4}"' in rules
        assert vendor.lower() == "256f" or product.lower() in rules


@pytest.mark.ros
def test_cyclone_dds_takes_the_configuration_for_two_computers(tmp_path: Path) -> None:
    pytest.importorskip("rclpy", reason="ROS 2 is not sourced", exc_type=ImportError)
    hello = (
        "import sys, rclpy\n"
        "from rclpy.qos import QoSProfile, DurabilityPolicy\n"
        "from std_msgs.msg import String\n"
        "rclpy.init(); node = rclpy.create_node(sys.argv[1])\n"
        "kept = QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL); heard = []\n"
        "node.create_subscription(String, 'glue/hello', lambda m: heard.append(m.data), kept)\n"
        "said = node.create_publisher(String, 'glue/hello', kept); said.publish(String(data=sys.argv[1]))\n"
        "while set(heard) < {'one', 'two'}: rclpy.spin_once(node, timeout_sec=0.2)\n"
        "print('heard', flush=True); sys.stdin.read()\n"  # the other may not have heard it yet
    )
    environment = {
        **os.environ,
        "RMW_IMPLEMENTATION": "rmw_cyclonedds_cpp",
        "CYCLONEDDS_URI": (DOCKER / "cyclonedds/two_computers.xml").as_uri(),
        "GLUE_DDS_INTERFACE": "lo",
        "GLUE_REALTIME_PC": "127.0.0.1",
        "GLUE_GPU_PC": "127.0.0.1",
        "ROS_DOMAIN_ID": str(os.getpid() % 100),
    }
    both = [
        subprocess.Popen(
            [sys.executable, "-c", hello, name],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for name in ("one", "two")
    ]
    try:
        for process in both:
            assert process.stdout is not None
            assert "heard" in process.stdout.readline()
    finally:
        for process in both:
            process.communicate("", timeout=60)


@pytest.mark.ros
@pytest.mark.timeout(600)
def test_health_is_that_of_the_nodes() -> None:
    pytest.importorskip("rclpy", reason="ROS 2 is not sourced", exc_type=ImportError)
    environment = {**os.environ, "ROS_DOMAIN_ID": str((os.getpid() + 50) % 100), "HEALTH_TIMEOUT_S": "100"}

    def health(*nodes: str) -> subprocess.CompletedProcess[str]:
        script = [str(DOCKER / "healthy.sh"), *nodes]
        return subprocess.run(script, env=environment, capture_output=True, text=True, timeout=120)

    assert health("view_node").returncode == 1
    node = subprocess.Popen([sys.executable, "-m", "glue_bringup.nodes", "view_node"], env=environment)
    try:
        for _ in range(30):  # on a loaded machine the imports take their time
            said = health("view_node")
            if said.returncode == 0:
                break
        assert said.returncode == 0, said.stdout
        assert health("view_node", "policy_node").stdout == "policy_node does not answer\n"
    finally:
        node.terminate()
        assert node.wait(60) == 0
