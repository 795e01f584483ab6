"""Grounding DINO: prompts, candidates, and the detector with a tiny random network."""

import numpy as np
import pytest
import torch
from scenes import RED, disc, table

from glue_perception.detectors.box_nms import overlap, suppress_non_maxima
from glue_perception.detectors.grounded_text import candidates, prompt_of, word_positions
from glue_perception.detectors.grounding_dino_config import GroundingDinoConfig
from glue_perception.errors import ConfigError, QueryError, WeightsError
from glue_perception.preflight import RefusalReason

ALL = GroundingDinoConfig(
    box_threshold=0.0, text_threshold=0.0, min_score=0.0, max_candidates=900, max_overlap=1.0
)


@pytest.mark.parametrize(
    ("query", "prompt"),
    [
        ("red button", "red button."),
        ("  The RED\tbutton. ", "the red button."),
        ("no. 3 button?", "no 3 button."),
        ("cup, mug", "cup mug."),
    ],
)
def test_prompt_is_one_phrase(query, prompt) -> None:
    assert prompt_of(query) == prompt


@pytest.mark.parametrize("query", ["", "  ", "...", "?!"])
def test_empty_queries_are_refused(query) -> None:
    with pytest.raises(QueryError, match="is empty"):
        prompt_of(query)


def test_word_positions() -> None:
    tokens = ["[CLS]", "red", "but", "##ton", ".", "[SEP]"]
    assert word_positions("q", tokens, 256).tolist() == [False, True, True, True, False, False]
    with pytest.raises(QueryError, match="too long: 6 tokens, at most 5"):
        word_positions("q", tokens, 5)
    with pytest.raises(QueryError, match="does not know"):
        word_positions("q", ["[CLS]", "[UNK]", ".", "[SEP]"], 256)


def test_candidates_by_threshold_and_overlap() -> None:
    boxes = np.array(
        [[0.5, 0.5, 0.2, 0.2], [0.51, 0.5, 0.2, 0.2], [0.1, 0.1, 0.4, 0.4], [0.9, 0.9, 0.1, 0.1]]
    )
    scores = np.array([[0.1, 0.6], [0.7, 0.2], [0.3, 0.3], [0.2, 0.1]])
    found = candidates("q", scores, boxes, 200, 100, GroundingDinoConfig())
    assert [round(c.score, 2) for c in found] == [0.7, 0.3]
    np.testing.assert_allclose(found[0].box_xyxy_px, [82, 40, 122, 60])
    # Cut to the image: 0.1 - 0.2 lies outside.
    np.testing.assert_allclose(found[1].box_xyxy_px, [0, 0, 60, 30])
    assert len(candidates("q", scores, boxes, 200, 100, GroundingDinoConfig(max_candidates=1))) == 1
    assert [
        c.score for c in candidates("q", scores, boxes, 200, 100, GroundingDinoConfig(text_threshold=0.65))
    ] == [0.7]
    assert candidates("q", scores, boxes, 200, 100, GroundingDinoConfig(box_threshold=0.9)) == []


def test_candidates_drop_what_is_no_box() -> None:
    boxes = np.array(
        [[0.5, 0.5, 0.0, 0.2], [np.nan, 0.5, 0.2, 0.2], [1.2, 0.5, 0.1, 0.1], [0.5, 0.5, 0.2, 0.2]]
    )
    found = candidates("q", np.full((4, 1), 0.9), boxes, 100, 100, ALL)
    assert len(found) == 1


def test_overlap_and_suppression() -> None:
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 5], [20, 20, 30, 30], [0, 0, 0, 0]], float)
    np.testing.assert_allclose(overlap(boxes[0], boxes), [1.0, 0.5, 0.0, 0.0])
    scores = np.array([0.5, 0.9, 0.5, 0.1])
    assert suppress_non_maxima(boxes, scores, 0.4).tolist() == [1, 2, 3]
    assert suppress_non_maxima(boxes, scores, 0.5).tolist() == [1, 0, 2, 3]
    assert suppress_non_maxima(boxes[:0], scores[:0], 0.5).tolist() == []


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"box_threshold": 1.5}, "box_threshold"),
        ({"max_overlap": -0.1}, "max_overlap"),
        ({"max_candidates": 0}, "max_candidates"),
        ({"ambiguity_ratio": 0.0}, "ambiguity_ratio"),
    ],
)
def test_config_refuses(values, says) -> None:
    with pytest.raises(ConfigError, match=says):
        GroundingDinoConfig(**values)


@pytest.fixture(scope="module")
def detector(weights_root):
    from glue_perception.detectors.grounding_dino import GroundingDinoDetector

    return GroundingDinoDetector(weights_root / "grounding-dino-tiny", ALL)


IMAGE = disc(table(), (400, 300), 30, RED)


def test_answers_each_query_as_if_it_were_alone(detector) -> None:
    alone = detector.propose(IMAGE, ["red button"])[0]
    among = detector.propose(IMAGE, ["blue block", "Red  button."])[1]
    assert len(alone) > 1
    assert [c.score for c in alone] == sorted((c.score for c in alone), reverse=True)
    assert [c.query for c in among] == ["Red  button."] * len(among)
    for a, b in zip(alone, among, strict=True):
        assert np.array_equal(a.box_xyxy_px, b.box_xyxy_px)
        assert a.score == b.score


def test_boxes_are_those_of_transformers_own_postprocessing(detector, weights_root) -> None:
    from transformers import AutoTokenizer, GroundingDinoForObjectDetection, GroundingDinoProcessor
    from transformers import GroundingDinoImageProcessorPil as Images

    folder = str(weights_root / "grounding-dino-tiny")
    processor = GroundingDinoProcessor(Images.from_pretrained(folder), AutoTokenizer.from_pretrained(folder))
    model = GroundingDinoForObjectDetection.from_pretrained(folder).eval()
    inputs = processor(images=IMAGE, text="red button.", return_tensors="pt")
    with torch.inference_mode():
        out = model(**inputs)
    (theirs,) = processor.post_process_grounded_object_detection(
        out, inputs.input_ids, threshold=0.0, text_threshold=0.0, target_sizes=[IMAGE.shape[:2]]
    )
    (ours,) = detector.propose(IMAGE, ["red button"])
    expected = theirs["boxes"].numpy().clip(0, [640, 480, 640, 480])
    for candidate in ours:
        assert np.abs(expected - candidate.box_xyxy_px).max(axis=1).min() < 1e-3


def test_refusals_of_the_detector(detector) -> None:
    with pytest.raises(QueryError, match="no queries"):
        detector.propose(IMAGE, [])
    with pytest.raises(QueryError, match="is empty"):
        detector.propose(IMAGE, ["red button", " . "])
    with pytest.raises(QueryError, match="does not know"):
        detector.propose(IMAGE, ["zebra"])  # the tiny vocabulary has few words
    with pytest.raises(QueryError, match="too long"):
        detector.propose(IMAGE, ["red " * 300])
    assert "box_threshold" in detector.hint(RefusalReason.ABSENT, IMAGE, "red button")
    assert detector.score_limits.min_score == 0.0


def test_a_grey_image_gives_candidates_and_no_nan(detector) -> None:
    (found,) = detector.propose(np.full((48, 64, 3), 90, np.uint8), ["red button"])
    assert all(np.isfinite(c.box_xyxy_px).all() for c in found)


def test_tensors_that_lack_are_not_filled_with_noise(weights_root, tmp_path) -> None:
    import shutil

    from safetensors.torch import load_file, save_file

    from glue_perception.detectors.grounding_dino import GroundingDinoDetector

    folder = tmp_path / "net"
    shutil.copytree(weights_root / "grounding-dino-tiny", folder)
    tensors = load_file(folder / "model.safetensors")
    kept = {name: t for name, t in tensors.items() if "text_projection" not in name}
    assert len(kept) < len(tensors)
    save_file(kept, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(WeightsError, match=r"lacks 2 tensors.*text_projection"):
        GroundingDinoDetector(folder)
    (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:5000])
    with pytest.raises(WeightsError, match="glue weights fetch net"):
        GroundingDinoDetector(folder)
