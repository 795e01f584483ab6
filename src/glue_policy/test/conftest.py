"""The test folder is importable, for its shared demonstrations; one torch thread, so that bits do not vary."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True)
def one_thread() -> None:
    import torch  # not above: an interpreter without it must get as far as handing over, see the root's conftest.py

    torch.set_num_threads(1)
