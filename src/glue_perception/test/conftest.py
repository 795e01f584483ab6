"""The test folder is importable, for its shared scenes; a store of tiny weights for those who ask."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def weights_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiny random networks in the real formats. Shared: do not write to it."""
    pytest.importorskip("transformers", minversion="5.0", reason="transformers 5 is not installed")
    from tiny_weights import make_store

    from glue_perception.nets.loading import import_networks

    import_networks("a store of tiny weights")
    return make_store(tmp_path_factory.mktemp("weights"))


@pytest.fixture
def weights(weights_root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same, found by the back-ends."""
    monkeypatch.setenv("GLUE_WEIGHTS_DIR", str(weights_root))
    return weights_root
