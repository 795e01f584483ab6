"""The full profile from text to key-patches, with tiny random networks in the real formats."""

import dataclasses
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scenes import BLUE, RED, box, camera_frame, disc, table

from glue_perception.config import from_mapping, to_mapping
from glue_perception.errors import ConfigError, MissingDependencyError, QueryError, WeightsError
from glue_perception.pipeline import PerceptionConfig, build_pipeline

# Random networks see nothing in particular: every threshold and every doubt is off.
OPEN = {
    "profile": "full",
    "num_keypoints": 8,
    "device": "cpu",
    "grounding_dino": {"box_threshold": 0.0, "text_threshold": 0.0, "min_score": 0.0, "max_candidates": 1},
    "sam": {"min_part_share": 0.0},
    "choice": {
        "max_box_share": 1.0,
        "min_mask_share": 0.0,
        "min_mask_box_share": 0.0,
        "max_query_box_iou": 1.0,
        "max_query_mask_iou": 1.0,
    },
}
QUERIES = ["red button", "blue block"]
SCENE = disc(box(table(), 100, 300, 180, 370, BLUE), (330, 250), 16, RED)[:240, :320].copy()


def config(**changes) -> PerceptionConfig:
    return from_mapping(PerceptionConfig, {**OPEN, **changes}, "test.yaml")


def test_from_text_to_key_patches(weights) -> None:
    pipeline = build_pipeline(config(), QUERIES[:1])
    extraction = pipeline.start(camera_frame(SCENE))
    assert len(extraction.keypoints) == 8
    for x, y in extraction.keypoints.xy_px.astype(int):
        assert extraction.masks[0, y, x]
    patches = pipeline.update(camera_frame(SCENE, 1))
    assert len(patches) == 8
    assert patches.visible.all()


@pytest.mark.parametrize("features", ["clip", "dinov2"])
def test_deterministic_under_the_seed(weights, features) -> None:
    frame = camera_frame(SCENE)
    one, same, other = (
        build_pipeline(config(features=features, seed=seed), QUERIES[:1]) for seed in (3, 3, 4)
    )
    expected = one.start(frame).keypoints.xy_px
    assert np.array_equal(same.start(frame).keypoints.xy_px, expected)
    assert np.array_equal(one.start(frame).keypoints.xy_px, expected)
    assert not np.array_equal(other.start(frame).keypoints.xy_px, expected)


def test_two_queries_share_the_keypoints(weights) -> None:
    try:
        extraction = build_pipeline(config(), QUERIES).start(camera_frame(SCENE))
    except QueryError as error:
        pytest.fail(f"random networks answer everything, yet: {error}")
    assert np.bincount(extraction.keypoints.query_index).min() >= 3


def test_with_real_thresholds_random_networks_are_refused(weights) -> None:
    strict = config(grounding_dino={"box_threshold": 1.0})
    with pytest.raises(QueryError, match=r"'red button'.*box_threshold 1.00"):
        build_pipeline(strict, QUERIES[:1]).start(camera_frame(SCENE))


def test_importing_the_pipeline_imports_no_network() -> None:
    code = (
        "import sys, glue_perception.pipeline as p; p.PerceptionConfig(profile='full'); print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    loaded = set(done.stdout.split())
    assert "glue_perception.full_profile" in loaded
    assert not loaded & {"torch", "transformers", "safetensors", "torchvision"}


def test_without_weights_the_message_says_what_to_run(tmp_path, monkeypatch) -> None:
    pytest.importorskip("transformers")
    monkeypatch.setenv("GLUE_WEIGHTS_DIR", str(tmp_path))
    with pytest.raises(WeightsError, match="glue weights fetch grounding-dino-tiny") as error:
        build_pipeline(config(), QUERIES)
    assert f"GLUE_WEIGHTS_DIR is {tmp_path}" in str(error.value)


@pytest.mark.parametrize(
    ("file", "role"),
    [
        ("grounding-dino-tiny/model.safetensors", "detector"),
        ("sam-vit-base/model.safetensors", "segmenter"),
        ("clip-vit-base-patch16/pytorch_model.bin", "features"),
        ("clip-vit-base-patch16/config.json", "features"),
    ],
)
def test_a_truncated_file_is_refused(weights_root, tmp_path, monkeypatch, file, role) -> None:
    shutil.copytree(weights_root, tmp_path / "store")
    monkeypatch.setenv("GLUE_WEIGHTS_DIR", str(tmp_path / "store"))
    path = tmp_path / "store" / file
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(WeightsError, match="is refused") as error:
        build_pipeline(config(), QUERIES)
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    "content", [b"", b"garbage", b"\x80\x02cos\nsystem\n."], ids=["empty", "garbage", "evil"]
)
def test_an_unpinned_damaged_file_is_a_clear_error(weights_root, tmp_path, content) -> None:
    """Where no hash is known the loader itself must refuse, and must not run what a pickle asks for."""
    from glue_perception.features.clip import clip_encoder
    from glue_perception.features.vit_grid_config import VitGridConfig

    folder = Path(shutil.copytree(weights_root / "clip-vit-base-patch16", tmp_path / "net"))
    (folder / "pytorch_model.bin").write_bytes(content)
    with pytest.raises(WeightsError, match="glue weights verify net"):
        clip_encoder(folder, VitGridConfig())


def test_safetensors_in_the_place_of_the_pickle_give_the_same(weights_root, tmp_path) -> None:
    import torch
    from safetensors.torch import save_file

    from glue_perception.features.clip import clip_encoder
    from glue_perception.features.vit_grid_config import VitGridConfig

    folder = Path(shutil.copytree(weights_root / "clip-vit-base-patch16", tmp_path / "net"))
    tensors = torch.load(folder / "pytorch_model.bin", weights_only=True)
    save_file({k: v.contiguous() for k, v in tensors.items()}, folder / "model.safetensors", {"format": "pt"})
    (folder / "pytorch_model.bin").unlink()
    mask = np.ones(SCENE.shape[:2], bool)
    one, other = (
        clip_encoder(f, VitGridConfig()).encode(SCENE, mask)
        for f in (folder, weights_root / "clip-vit-base-patch16")
    )
    assert np.array_equal(one, other)


def test_a_missing_package_names_the_install_command(weights_root, monkeypatch) -> None:
    from glue_perception.detectors.groundingdino_package import build_network
    from glue_perception.features.open_clip_package import open_clip_encoder
    from glue_perception.features.vit_grid_config import VitGridConfig
    from glue_perception.segmenters.segment_anything_package import load_sam

    for module in ("groundingdino", "segment_anything", "open_clip"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingDependencyError, match="pip install groundingdino-py") as error:
        build_network(weights_root / "grounding-dino-tiny")
    assert error.value.exit_code == 8
    with pytest.raises(MissingDependencyError, match="pip install segment-anything"):
        load_sam(Path("nowhere"))
    with pytest.raises(MissingDependencyError, match="pip install open_clip_torch"):
        open_clip_encoder(weights_root / "clip-vit-base-patch16", VitGridConfig())


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"device": "gpu"}, "device: unknown value 'gpu'"),
        ({"precision": "half"}, "precision: unknown value 'half'"),
        ({"features": "dino"}, "Did you mean 'dinov2'"),
        ({"grounding_dino": {"treshold": 0.1}}, "grounding_dino: unknown key 'treshold'"),
        ({"clip": {"grid": 0}}, "grid must be at least 1"),
        ({"profile": "ful"}, "Did you mean 'full'"),
    ],
)
def test_config_refuses(values, says) -> None:
    with pytest.raises(ConfigError, match=says):
        config(**values)


def test_unknown_weights_name_the_nearest(weights) -> None:
    with pytest.raises(ConfigError, match="Did you mean 'clip-vit-base-patch16'"):
        build_pipeline(config(clip={"weights": "clip-vit-base-patch-16"}), QUERIES)


def test_config_round_trip() -> None:
    one = config(precision="bfloat16", dinov2={"weights": "dinov2-small"})
    assert from_mapping(PerceptionConfig, to_mapping(one), "x") == one
    assert dataclasses.replace(one, profile="embedded").back_end("detector") == "color"
