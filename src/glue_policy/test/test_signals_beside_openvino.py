"""Ctrl-C stays Ctrl-C after OpenVINO has been in the process: an arm may be moving."""

import signal
import subprocess
import sys

import pytest

SCRIPT = """
import gc, os, signal
import torch
from glue_policy.engines import build_engine
from glue_policy.engines.config import EngineConfig, EngineName
from glue_policy.policies import build_policy, policy_config

policy = build_policy("act", policy_config("act", "tiny")).eval()
for _ in range(2):
    engine = build_engine(EngineConfig(EngineName.OPENVINO), policy, 0, 1)
    del engine
    gc.collect()
seen = []
signal.signal(signal.SIGINT, lambda number, frame: seen.append(number))
os.kill(os.getpid(), signal.SIGINT)
print("handled", len(seen))
"""


def test_a_signal_is_handled_when_the_engine_is_gone():
    pytest.importorskip("openvino", reason="OpenVINO is not installed: pip install openvino")
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode != -signal.SIGSEGV, "the signal's stack was unmapped"
    assert done.stdout.split() == ["handled", "1"], done.stderr
