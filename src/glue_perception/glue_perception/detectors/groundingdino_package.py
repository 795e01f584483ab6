"""Grounding DINO through the package groundingdino-py; the same network as `grounding_dino`, other files.

The package breaks on transformers 5 and wants 4.57.6 at most, so it lives in an environment of its own. Its compiled
operator is not needed; the package falls back to PyTorch.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image

from glue_perception.detectors.base import ScoreLimits
from glue_perception.detectors.grounded_text import candidates, hint_of, prompt_of, word_positions
from glue_perception.detectors.grounding_dino_config import GroundingDinoConfig
from glue_perception.errors import MissingDependencyError, QueryError
from glue_perception.nets.compute import Compute
from glue_perception.nets.loading import import_networks, read_folder, torch_device
from glue_perception.nets.tensor_files import fill, read_tensors
from glue_perception.nets.torchvision_import import import_torchvision
from glue_perception.preflight import RefusalReason
from glue_perception.types import Detection

INSTALL_COMMAND = (
    "pip install groundingdino-py transformers==4.57.6 torchvision, in an environment of its own, "
    "see docs/full_profile.md"
)

_SHORT_SIDE_PX, _LONG_SIDE_PX = 800, 1333
_IMAGENET = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def build_network(text_directory: Path, **changes: Any) -> Any:
    """Return the package's Swin-T network with random weights.

    The package would download bert-base-uncased. Its checkpoint holds the text encoder's weights anyway, so here the
    encoder is built from `text_directory` alone.

    Args:
        text_directory: Tokenizer, and a config.json with the text encoder's shape, as for `grounding_dino`.
        changes: Values of the package's configuration to set otherwise.

    Raises:
        MissingDependencyError: the package is not installed, or does not run with this transformers.
        WeightsError: the tokenizer cannot be loaded.
    """
    try:
        import_torchvision()
        import groundingdino
        from groundingdino.models import build_model
        from groundingdino.util import get_tokenlizer
        from groundingdino.util.slconfig import SLConfig
    except ImportError as error:
        raise MissingDependencyError(
            f"detector groundingdino_py needs {error.name}: {INSTALL_COMMAND}"
        ) from error
    shipped = Path(groundingdino.__file__).parent / "config" / "GroundingDINO_SwinT_OGC.py"
    values = SLConfig.fromfile(str(shipped))
    # Checkpointing recomputes activations for gradients, which nobody asks for.
    for key, value in {"use_checkpoint": False, "use_transformer_ckpt": False, **changes}.items():
        setattr(values, key, value)
    with _text_parts_of(get_tokenlizer, text_directory), redirect_stdout(StringIO()):
        try:
            return build_model(values)
        except AttributeError as error:
            raise MissingDependencyError(
                f"groundingdino-py does not run with this version of transformers ({error}): {INSTALL_COMMAND}"
            ) from error


def load_network_of_package(
    path: Path, text_directory: Path, compute: Compute | None = None, **changes: Any
) -> Any:
    """Return the package's network with the weights of its own file.

    Args:
        path: groundingdino_swint_ogc.pth.
        text_directory: See `build_network`.
        compute: Where it runs; always in float32.
        changes: See `build_network`.

    Raises:
        MissingDependencyError: see `build_network`.
        WeightsError: a file is missing tensors or cannot be read.
    """
    model = build_network(text_directory, **changes)
    tensors = {name.removeprefix("module."): tensor for name, tensor in read_tensors(path).items()}
    # Positions are counted up by newer versions of transformers instead of being stored.
    fill(model, {name: t for name, t in tensors.items() if not name.endswith("position_ids")}, path)
    return model.to(torch_device((compute or Compute()).device))


class GroundingDinoPackageDetector:
    """Finds things by English text, as `GroundingDinoDetector` does, one forward pass per query.

    Args:
        model: The package's network, see `load_network_of_package`.
        config: Thresholds.
    """

    def __init__(self, model: Any, config: GroundingDinoConfig | None = None) -> None:
        from groundingdino.datasets import transforms

        self._config = config or GroundingDinoConfig()
        self._model = model.eval()
        self._device = next(model.parameters()).device
        self._transform: Any = transforms.Compose(
            [
                transforms.RandomResize([_SHORT_SIDE_PX], max_size=_LONG_SIDE_PX),
                transforms.ToTensor(),
                transforms.Normalize(*_IMAGENET),
            ]
        )

    @property
    def score_limits(self) -> ScoreLimits:
        """See `Detector.score_limits`."""
        return self._config.score_limits

    def hint(self, reason: RefusalReason, rgb: UInt8[np.ndarray, "height width 3"], query: str) -> str:
        """Return a cause and a remedy; see `Detector.hint`."""
        return hint_of(reason, self._config)

    def propose(
        self, rgb: UInt8[np.ndarray, "height width 3"], queries: Sequence[str]
    ) -> list[list[Detection]]:
        """Return the candidates of each query, best first, possibly none.

        Raises:
            QueryError: there are no queries, or one is empty, too long or not understood.
        """
        if not queries:
            raise QueryError("there are no queries; name at least one thing, e.g. 'red button'")
        words = [self._words(query) for query in queries]
        image, _ = self._transform(Image.fromarray(rgb), None)
        return [
            self._ask(rgb.shape[1], rgb.shape[0], query, image, is_word)
            for query, is_word in zip(queries, words, strict=True)
        ]

    def _words(self, query: str) -> np.ndarray:
        tokenizer = self._model.tokenizer
        tokens = tokenizer.convert_ids_to_tokens(tokenizer(prompt_of(query))["input_ids"])
        return word_positions(query, tokens, self._model.max_text_len)

    def _ask(
        self, width_px: int, height_px: int, query: str, image: torch.Tensor, is_word: np.ndarray
    ) -> list[Detection]:
        with torch.inference_mode():
            out = self._model(image[None].to(self._device), captions=[prompt_of(query)])
        scores = out["pred_logits"][0, :, : len(is_word)].sigmoid().cpu().numpy()[:, is_word]
        boxes = out["pred_boxes"][0].cpu().numpy().astype(float)
        return candidates(query, scores, boxes, width_px, height_px, self._config)


@contextmanager
def _text_parts_of(module: Any, directory: Path) -> Iterator[None]:
    """Let the package take tokenizer and text encoder from a folder while it builds its network."""
    transformers = import_networks("detector groundingdino_py")
    shape = read_folder(
        directory, lambda: json.loads((directory / "config.json").read_text(encoding="utf-8"))
    )
    text = {k: v for k, v in (shape.get("text_config") or {}).items() if k != "model_type"}
    replaced = module.get_tokenlizer, module.get_pretrained_language_model
    module.get_tokenlizer = lambda _: read_folder(
        directory, lambda: transformers.AutoTokenizer.from_pretrained(str(directory), local_files_only=True)
    )
    module.get_pretrained_language_model = lambda _: transformers.BertModel(transformers.BertConfig(**text))
    try:
        yield
    finally:
        module.get_tokenlizer, module.get_pretrained_language_model = replaced
