"""SAM through the package segment-anything of its authors; the same network as `sam`, other files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, UInt8

from glue_perception.errors import MissingDependencyError, WeightsError
from glue_perception.nets.compute import Compute
from glue_perception.nets.loading import torch_device
from glue_perception.nets.tensor_files import fill, read_tensors
from glue_perception.nets.torchvision_import import import_torchvision
from glue_perception.segmenters.box_masks import best_mask, boxes_of
from glue_perception.segmenters.sam_config import SamConfig
from glue_perception.types import Detection

INSTALL_COMMAND = (
    "pip install segment-anything torchvision (beside a CPU build of torch see docs/full_profile.md)"
)
_VARIANTS = {768: "vit_b", 1024: "vit_l", 1280: "vit_h"}


def import_segment_anything() -> Any:
    """Return the package.

    Raises:
        MissingDependencyError: it or torchvision is not installed.
    """
    try:
        import_torchvision()
        import segment_anything
    except ImportError as error:
        raise MissingDependencyError(
            f"segmenter segment_anything needs {error.name}: {INSTALL_COMMAND}"
        ) from error
    return segment_anything


def load_sam(path: Path, compute: Compute | None = None) -> Any:
    """Return the authors' network with the weights of one of their files, ViT-B, -L or -H.

    Raises:
        MissingDependencyError: the package is not installed.
        WeightsError: the file is not one of theirs.
    """
    package = import_segment_anything()
    tensors = read_tensors(path)
    place = tensors.get("image_encoder.pos_embed")
    width = 0 if place is None else place.shape[-1]
    if width not in _VARIANTS:
        raise WeightsError(
            f"{path} is not a checkpoint of segment-anything: it has no ViT-B, -L or -H image encoder"
        )
    model = package.sam_model_registry[_VARIANTS[width]]()
    fill(model, tensors, path)
    return model.to(torch_device((compute or Compute()).device))


class SegmentAnythingSegmenter:
    """Cuts out what a box holds, as `SamSegmenter` does. Deterministic; holds the last image's features.

    Always computes in float32: the package's own preprocessing knows no other.

    Args:
        model: The package's `Sam`, see `load_sam`.
        config: Clean-up of the masks.
    """

    def __init__(self, model: Any, config: SamConfig | None = None) -> None:
        self._config = config or SamConfig()
        self._predictor: Any = import_segment_anything().SamPredictor(model.eval())

    def segment(
        self, rgb: UInt8[np.ndarray, "height width 3"], detections: Sequence[Detection]
    ) -> Bool[np.ndarray, "objects height width"]:
        """Return one mask per detection.

        Raises:
            QueryError: there are no detections, or a mask is empty.
        """
        boxes = boxes_of(detections)
        self._predictor.set_image(np.ascontiguousarray(rgb), image_format="RGB")
        masks = []
        for detection, box in zip(detections, boxes, strict=True):
            three, predicted_iou, _ = self._predictor.predict(box=box, multimask_output=True)
            masks.append(best_mask(detection, three, predicted_iou, self._config.min_part_share))
        return np.stack(masks)
