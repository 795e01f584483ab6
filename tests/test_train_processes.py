"""Training in several processes on one machine."""

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from demonstration_bags import record

from glue_bringup.cli.main import main
from glue_policy.checkpoint import load_policy

SMALL = (
    "--policy", "dp", "--batch-size", "4", "--micro-batches", "2", "--precision", "float32", "--torch-threads", "1",
)  # fmt: skip


def command(data: Path, out: Path, *more: str) -> list[str]:
    return ["train", "push_button", "--data", str(data), "--out", str(out), *SMALL, *more]


def losses(out: Path) -> list[float]:
    with (out / "metrics.csv").open() as file:
        return [float(row["loss"]) for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record(tmp_path_factory.mktemp("data"), steps=12)


def test_two_processes_learn_what_one_does(data: Path, tmp_path: Path) -> None:
    steps = ("--steps", "4")
    assert main(command(data, tmp_path / "one", *steps)) == 0
    assert main(command(data, tmp_path / "two", *steps, "--processes", "2")) == 0
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), abs=2e-6)
    one, two = (load_policy(tmp_path / name / "checkpoint") for name in ("one", "two"))
    for name, value in one.state_dict().items():
        torch.testing.assert_close(two.state_dict()[name], value, atol=1e-6, rtol=1e-4)
    written = {path.name for path in (tmp_path / "two").iterdir()}
    assert written == {"run.yaml", "state.pt", "metrics.csv", "loss.png", "checkpoint"}


def started(data: Path, out: Path) -> tuple[subprocess.Popen[str], list[str]]:
    """Start a long run of two processes and return it, and its arguments, when it has saved a state."""
    (out / "fast.yaml").write_text("checkpoint_every_s: 0.1\n")
    arguments = command(data, out, "--steps", "5000", "--config", str(out / "fast.yaml"))
    training = subprocess.Popen(
        [sys.executable, "-m", "glue_bringup.cli.main", *arguments, "--processes", "2"],
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 200
    while not (out / "state.pt").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    return training, arguments


def test_ctrl_c_leaves_a_state_that_any_number_of_processes_goes_on_from(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    training, arguments = started(data, tmp_path)
    training.send_signal(signal.SIGINT)
    _, error = training.communicate(timeout=100)
    assert training.returncode == 130, error
    assert error.count("interrupted; run the same command again") == 1, "only the first process speaks"
    step = torch.load(tmp_path / "state.pt", weights_only=True)["step"]
    assert step > 0
    capsys.readouterr()
    assert main([*arguments, "--max-minutes", "1e-9"]) == 0
    assert f"going on from step {step}" in capsys.readouterr().out


def test_a_process_that_is_killed_ends_the_run(data: Path, tmp_path: Path) -> None:
    training, _ = started(data, tmp_path)
    children = Path(f"/proc/{training.pid}/task/{training.pid}/children").read_text().split()
    os.kill(int(children[1]), signal.SIGKILL)
    training.communicate(timeout=100)
    assert training.returncode not in (0, 130)
    assert torch.load(tmp_path / "state.pt", weights_only=True)["step"] > 0


def test_one_process_that_fails_ends_them_all(data: Path, tmp_path: Path) -> None:
    begin = time.monotonic()
    assert main(command(data, tmp_path, "--processes", "2", "--micro-batches", "1")) == 2
    assert time.monotonic() - begin < 100
    assert not (tmp_path / "state.pt").exists()


def test_torchrun_serves_too(data: Path, tmp_path: Path) -> None:
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    training = subprocess.run(
        [*torchrun, "-m", "glue_bringup.cli.main", *command(data, tmp_path, "--steps", "1")],
        capture_output=True,
        text=True,
        timeout=250,
        env=os.environ | {"GLOO_SOCKET_IFNAME": "lo"},
    )
    assert training.returncode == 0, training.stderr[-2000:]
    assert training.stdout.count("checkpoint: ") == 1
    load_policy(tmp_path / "checkpoint")
