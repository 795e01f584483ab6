"""The full profile's detector: Grounding DINO (Liu et al. 2023) through transformers (paper, III-B 1)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8

from glue_perception.detectors.base import ScoreLimits
from glue_perception.detectors.grounded_text import candidates, hint_of, prompt_of, word_positions
from glue_perception.detectors.grounding_dino_config import GroundingDinoConfig
from glue_perception.errors import QueryError
from glue_perception.nets.compute import Compute, Precision
from glue_perception.nets.loading import import_networks, load_network, read_folder
from glue_perception.preflight import RefusalReason
from glue_perception.types import Detection


class GroundingDinoDetector:
    """Finds things by English text. Stateless and deterministic; one thread at a time.

    Each query is asked in a forward pass of its own. Grounding DINO mixes all phrases of a prompt with the image and
    with each other, so with one common prompt a query's boxes would change when another query is added, and answers
    would have to be sorted back by the words they quote. It costs one pass per query, once per episode.

    Args:
        directory: Weights, tokenizer and image processor in Hugging Face's format.
        config: Thresholds.
        compute: Where it runs. Always in float32, whatever the precision: box corners in bfloat16 (8 bits) would be
            off by whole pixels, and it runs once per episode.

    Raises:
        WeightsError: the folder cannot be loaded.
    """

    def __init__(
        self, directory: Path, config: GroundingDinoConfig | None = None, compute: Compute | None = None
    ) -> None:
        transformers = import_networks("detector grounding_dino")
        self._config = config or GroundingDinoConfig()
        compute = compute or Compute()
        self._model: Any = load_network(
            transformers.GroundingDinoForObjectDetection,
            directory,
            Compute(compute.device, Precision.FLOAT32),
        )
        self._tokenizer: Any = read_folder(
            directory,
            lambda: transformers.AutoTokenizer.from_pretrained(str(directory), local_files_only=True),
        )
        # The processor on PIL needs no torchvision and gives the same on every machine.
        self._images: Any = read_folder(
            directory,
            lambda: transformers.GroundingDinoImageProcessorPil.from_pretrained(
                str(directory), local_files_only=True
            ),
        )

    def propose(
        self, rgb: UInt8[np.ndarray, "height width 3"], queries: Sequence[str]
    ) -> list[list[Detection]]:
        """Return the candidates of each query, best first, possibly none.

        Raises:
            QueryError: there are no queries, or one is empty, too long or not understood.
        """
        if not queries:
            raise QueryError("there are no queries; name at least one thing, e.g. 'red button'")
        prompts = [self._tokens(query) for query in queries]
        image = self._images(images=rgb, return_tensors="pt").to(self._model.device)
        return [
            self._ask(rgb.shape[1], rgb.shape[0], query, image, *tokens)
            for query, tokens in zip(queries, prompts, strict=True)
        ]

    @property
    def score_limits(self) -> ScoreLimits:
        """See `Detector.score_limits`."""
        return self._config.score_limits

    def hint(self, reason: RefusalReason, rgb: UInt8[np.ndarray, "height width 3"], query: str) -> str:
        """Return a cause and a remedy; see `Detector.hint`."""
        return hint_of(reason, self._config)

    def _tokens(self, query: str) -> tuple[Any, np.ndarray]:
        text = self._tokenizer(prompt_of(query), return_tensors="pt", return_token_type_ids=True)
        words = self._tokenizer.convert_ids_to_tokens(text["input_ids"][0].tolist())
        return text.to(self._model.device), word_positions(query, words, self._model.config.max_text_len)

    def _ask(
        self, width_px: int, height_px: int, query: str, image: Any, text: Any, is_word: np.ndarray
    ) -> list[Detection]:
        with torch.inference_mode():
            out = self._model(
                **text, pixel_values=image["pixel_values"], pixel_mask=image["pixel_mask"], return_dict=True
            )
        scores = out.logits[0, :, : len(is_word)].sigmoid().float().cpu().numpy()[:, is_word]
        boxes = out.pred_boxes[0].float().cpu().numpy().astype(float)
        return candidates(query, scores, boxes, width_px, height_px, self._config)
