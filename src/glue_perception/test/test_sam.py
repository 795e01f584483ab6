"""SAM: choice and clean-up of masks, and the segmenter with a tiny random network."""

import numpy as np
import pytest
import torch
from scenes import RED, disc, table

from glue_perception.errors import ConfigError, QueryError
from glue_perception.segmenters.box_masks import best_mask, boxes_of, without_specks
from glue_perception.segmenters.sam_config import SamConfig
from glue_perception.types import Detection

IMAGE = disc(table(), (400, 300), 30, RED)


def detection(x0, y0, x1, y1, query="red button") -> Detection:
    return Detection(query, np.array([x0, y0, x1, y1], float), 1.0)


BOX = detection(360, 260, 440, 340)


def test_specks_go_and_parts_stay() -> None:
    mask = np.zeros((50, 60), bool)
    mask[10:30, 10:30] = True  # 400 px
    mask[10:20, 40:50] = True  # 100 px: the other side of an arm
    mask[40:43, 5:8] = True  # 9 px
    cleaned = without_specks(mask, 0.1)
    assert cleaned.sum() == 500
    assert (cleaned <= mask).all()
    assert without_specks(mask, 0.5).sum() == 400
    assert without_specks(mask, 0.0).sum() == 509
    assert not without_specks(np.zeros((5, 5), bool), 0.1).any()


def test_the_mask_of_the_highest_predicted_iou_is_taken() -> None:
    masks = np.zeros((3, 20, 20), bool)
    for k in range(3):
        masks[k, : 4 * (k + 1), :10] = True
    assert best_mask(BOX, masks, np.array([0.2, 0.9, 0.5]), 0.1).sum() == 80
    masks[1] = False
    with pytest.raises(QueryError, match=r"'red button'.*finds nothing in its box \[360.0"):
        best_mask(BOX, masks, np.array([0.2, 0.9, 0.5]), 0.1)


def test_refusals() -> None:
    with pytest.raises(QueryError, match="no detections"):
        boxes_of([])
    with pytest.raises(ConfigError, match="min_part_share"):
        SamConfig(min_part_share=2.0)


@pytest.fixture(scope="module")
def segmenter(weights_root):
    from glue_perception.segmenters.sam import SamSegmenter

    return SamSegmenter(weights_root / "sam-vit-base", SamConfig(min_part_share=0.0))


def test_masks_are_those_of_transformers_pipeline(segmenter, weights_root) -> None:
    """The image encoded once for all boxes gives what a plain call per box gives."""
    from transformers import SamImageProcessorPil, SamModel, SamProcessor

    folder = str(weights_root / "sam-vit-base")
    processor, model = (
        SamProcessor(SamImageProcessorPil.from_pretrained(folder)),
        SamModel.from_pretrained(folder),
    )
    boxes = [detection(360, 260, 440, 340), detection(20.5, 30.0, 600.0, 400.0)]
    ours = segmenter.segment(IMAGE, boxes)
    assert ours.shape == (2, 480, 640)
    assert ours.dtype == bool
    for mask, box in zip(ours, boxes, strict=True):
        inputs = processor(images=IMAGE, input_boxes=[[box.box_xyxy_px.tolist()]], return_tensors="pt")
        with torch.inference_mode():
            out = model(**{k: v.float() if v.is_floating_point() else v for k, v in inputs.items()})
        (masks,) = processor.post_process_masks(
            out.pred_masks, inputs["original_sizes"], inputs["reshaped_input_sizes"]
        )
        assert np.array_equal(mask, masks[0, int(out.iou_scores.argmax())].numpy())


def test_deterministic_and_independent_of_the_other_boxes(segmenter) -> None:
    one = segmenter.segment(IMAGE, [BOX])[0]
    both = segmenter.segment(IMAGE, [detection(5, 5, 100, 100), BOX])
    assert np.array_equal(one, both[1])
    assert np.array_equal(one, segmenter.segment(IMAGE, [BOX])[0])


def test_an_empty_mask_names_the_query(segmenter) -> None:
    hidden = segmenter._model.mask_decoder.output_hypernetworks_mlps
    states = [mlp.proj_out.bias.data.clone() for mlp in hidden]
    weights = [mlp.proj_out.weight.data.clone() for mlp in hidden]
    try:
        for mlp in hidden:  # logits of 0 everywhere: nothing is above the threshold
            mlp.proj_out.bias.data.zero_()
            mlp.proj_out.weight.data.zero_()
        with pytest.raises(QueryError, match=r"'red button'.*finds nothing"):
            segmenter.segment(IMAGE, [BOX])
    finally:
        for mlp, bias, weight in zip(hidden, states, weights, strict=True):
            mlp.proj_out.bias.data.copy_(bias)
            mlp.proj_out.weight.data.copy_(weight)


@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_half_precision_is_close(segmenter, weights_root, precision) -> None:
    from glue_perception.nets.compute import Compute, Device, Precision
    from glue_perception.segmenters.sam import SamSegmenter

    compute = Compute(Device.CPU, Precision(precision))
    half = SamSegmenter(weights_root / "sam-vit-base", SamConfig(min_part_share=0.0), compute)
    assert (half.segment(IMAGE, [BOX]) != segmenter.segment(IMAGE, [BOX])).mean() < 0.05


def test_a_grey_image_of_odd_size(segmenter) -> None:
    mask = segmenter.segment(np.full((37, 91, 3), 90, np.uint8), [detection(3, 3, 30, 30)])
    assert mask.shape == (1, 37, 91)
