"""The full profile's segmenter: SAM (Kirillov et al. 2023), prompted by boxes, through transformers (III-B 1)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, UInt8

from glue_perception.nets.compute import Compute
from glue_perception.nets.loading import import_networks, load_network, read_folder
from glue_perception.segmenters.box_masks import best_mask, boxes_of
from glue_perception.segmenters.sam_config import SamConfig
from glue_perception.types import Detection


class SamSegmenter:
    """Cuts out what a box holds: of SAM's three masks the one that it rates best. Stateless and deterministic.

    The image is encoded once for all boxes; that is nearly all of the work.

    Args:
        directory: Weights and image processor in Hugging Face's format; SlimSAM's too.
        config: Clean-up of the masks.
        compute: Where it runs, in which numbers.

    Raises:
        WeightsError: the folder cannot be loaded.
    """

    def __init__(
        self, directory: Path, config: SamConfig | None = None, compute: Compute | None = None
    ) -> None:
        transformers = import_networks("segmenter sam")
        self._config = config or SamConfig()
        self._model: Any = load_network(transformers.SamModel, directory, compute or Compute())
        images = read_folder(
            directory,
            lambda: transformers.SamImageProcessorPil.from_pretrained(str(directory), local_files_only=True),
        )
        self._processor: Any = transformers.SamProcessor(images)

    def segment(
        self, rgb: UInt8[np.ndarray, "height width 3"], detections: Sequence[Detection]
    ) -> Bool[np.ndarray, "objects height width"]:
        """Return one mask per detection; it may reach beyond its box where the object does.

        Raises:
            QueryError: there are no detections, or a mask is empty.
        """
        boxes = boxes_of(detections)
        inputs = self._processor(images=rgb, input_boxes=[boxes.tolist()], return_tensors="pt")
        device, dtype = self._model.device, self._model.dtype
        with torch.inference_mode():
            features = self._model.get_image_embeddings(inputs["pixel_values"].to(device, dtype))
            out = self._model(
                image_embeddings=features,
                # Corners stay float32 until the network has divided them by the image's size.
                input_boxes=inputs["input_boxes"].to(device, torch.float32),
                multimask_output=True,
            )
        (masks,) = self._processor.post_process_masks(
            out.pred_masks.float().cpu(), inputs["original_sizes"], inputs["reshaped_input_sizes"]
        )
        predicted_iou = out.iou_scores[0].float().cpu().numpy()
        return np.stack(
            [
                best_mask(detection, three.numpy(), iou, self._config.min_part_share)
                for detection, three, iou in zip(detections, masks, predicted_iou, strict=True)
            ]
        )
