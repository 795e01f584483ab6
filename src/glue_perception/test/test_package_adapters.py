"""Adapters of the authors' packages, against the transformers back-ends on equal random weights where possible.

Each runs where its package can be imported; docs/full_profile.md says how such environments are made.
"""

import json
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from scenes import RED, disc, table

from glue_perception.errors import MissingDependencyError, QueryError, WeightsError
from glue_perception.types import Detection

IMAGE = disc(table(), (400, 300), 30, RED)
BOXES = [
    Detection("red button", np.array(box, float), 1.0)
    for box in ([360, 260, 440, 340], [20.5, 30.0, 600.0, 400.0])
]


def available(import_package) -> None:
    try:
        import_package()
    except MissingDependencyError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def small_sam():
    """A SAM of the package in the shape of `tiny_weights.sam_config`, and its tensors in transformers' network."""
    from sam_names import transformers_names
    from tiny_weights import sam_config

    from glue_perception.nets.loading import import_networks
    from glue_perception.segmenters.segment_anything_package import import_segment_anything

    available(import_segment_anything)
    twin_class = import_networks("this test").SamModel
    from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, Sam, TwoWayTransformer

    torch.manual_seed(3)  # with which some of the image is in the masks and some is not
    encoder = ImageEncoderViT(
        img_size=128,
        patch_size=16,
        embed_dim=16,
        depth=2,
        num_heads=2,
        mlp_ratio=2,
        out_chans=16,
        norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
        qkv_bias=True,
        use_rel_pos=True,
        window_size=4,
        global_attn_indexes=(1,),
    )
    prompt = PromptEncoder(
        embed_dim=16, image_embedding_size=(8, 8), input_image_size=(128, 128), mask_in_chans=4
    )
    transformer = TwoWayTransformer(depth=2, embedding_dim=16, num_heads=2, mlp_dim=16)
    decoder = MaskDecoder(
        transformer_dim=16, transformer=transformer, num_multimask_outputs=3, iou_head_hidden_dim=16
    )
    model = Sam(encoder, prompt, decoder).eval()
    for tensor in model.parameters():  # some begin at zero, which would hide a wrong name
        tensor.data += 0.3 * torch.randn_like(tensor)
    twin = twin_class(sam_config()).eval()
    twin.load_state_dict(transformers_names(model.state_dict()), strict=True)
    return model, twin


def test_segment_anything_gives_transformers_masks_on_equal_weights(
    small_sam, weights_root, tmp_path
) -> None:
    pytest.importorskip("transformers", minversion="5.0")
    from glue_perception.segmenters.sam import SamSegmenter
    from glue_perception.segmenters.sam_config import SamConfig
    from glue_perception.segmenters.segment_anything_package import SegmentAnythingSegmenter

    model, twin = small_sam
    folder = Path(shutil.copytree(weights_root / "sam-vit-base", tmp_path / "sam"))
    twin.save_pretrained(folder)
    config = SamConfig(min_part_share=0.0)
    ours = SamSegmenter(folder, config).segment(IMAGE, BOXES)
    theirs = SegmentAnythingSegmenter(model, config).segment(IMAGE, BOXES)
    assert 0.02 < ours.mean() < 0.98
    # Their resizing rounds differently in places: a pixel in a thousand may fall on the other side.
    assert (ours != theirs).mean() < 1e-3


def test_segment_anything_refuses(small_sam, tmp_path) -> None:
    from glue_perception.segmenters.segment_anything_package import SegmentAnythingSegmenter, load_sam

    with pytest.raises(QueryError, match="no detections"):
        SegmentAnythingSegmenter(small_sam[0]).segment(IMAGE, [])
    path = tmp_path / "sam.pth"
    torch.save(small_sam[0].state_dict(), path)
    with pytest.raises(WeightsError, match="not a checkpoint of segment-anything"):
        load_sam(path)
    path.write_bytes(b"garbage")
    with pytest.raises(WeightsError, match="cannot read"):
        load_sam(path)


@pytest.mark.parametrize("activation", ["quick_gelu", "gelu"])
def test_open_clip_gives_transformers_features_on_equal_weights(weights_root, tmp_path, activation) -> None:
    from glue_perception.features.open_clip_package import _import_open_clip, open_clip_encoder
    from glue_perception.features.vit_grid_config import VitGridConfig

    available(_import_open_clip)
    from glue_perception.features.clip import clip_encoder

    folder = Path(shutil.copytree(weights_root / "clip-vit-base-patch16", tmp_path / "clip"))
    config = json.loads((folder / "config.json").read_text())
    config["vision_config"]["hidden_act"] = activation
    (folder / "config.json").write_text(json.dumps(config))
    mask = np.ones((64, 64), bool)
    image = IMAGE[270:334, 370:434]
    ours = clip_encoder(folder, VitGridConfig(grid=2)).encode(image, mask)
    theirs = open_clip_encoder(folder, VitGridConfig(grid=2)).encode(image, mask)
    np.testing.assert_allclose(theirs, ours, atol=2e-4)
    assert np.abs(ours).max() > 0.1


def test_open_clip_refuses_weights_that_lack(weights_root, tmp_path) -> None:
    from glue_perception.features.open_clip_package import _import_open_clip, open_clip_encoder
    from glue_perception.features.vit_grid_config import VitGridConfig

    available(_import_open_clip)
    folder = Path(shutil.copytree(weights_root / "clip-vit-base-patch16", tmp_path / "clip"))
    tensors = torch.load(folder / "pytorch_model.bin", weights_only=True)
    kept = {name: t for name, t in tensors.items() if "mlp.fc1" not in name}
    torch.save(kept, folder / "pytorch_model.bin")
    with pytest.raises(WeightsError, match=r"lacks 4 tensors.*c_fc"):
        open_clip_encoder(folder, VitGridConfig())


@pytest.fixture(scope="module")
def package_detector(tmp_path_factory):
    """The package's network with a real Swin-T and few layers, from a file in the package's format."""
    from tiny_weights import WORDS, write_vocabulary

    from glue_perception.detectors import groundingdino_package as adapter
    from glue_perception.detectors.grounding_dino_config import GroundingDinoConfig

    folder = tmp_path_factory.mktemp("text")
    size = len(write_vocabulary(folder).read_text().splitlines())
    assert size > len(WORDS)
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "BertTokenizer"}))
    text = {"vocab_size": size, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    (folder / "config.json").write_text(
        json.dumps(
            {"model_type": "bert", "text_config": {**text, "intermediate_size": 16, "model_type": "bert"}}
        )
    )
    small = {"enc_layers": 1, "dec_layers": 2, "dim_feedforward": 16, "num_queries": 20}
    available(lambda: adapter.build_network(folder, **small))
    torch.manual_seed(0)
    path = folder / "groundingdino.pth"
    saved = adapter.build_network(folder, **small).state_dict()
    torch.save({"model": {f"module.{name}": tensor for name, tensor in saved.items()}}, path)
    model = adapter.load_network_of_package(path, folder, **small)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, saved[name])
    config = GroundingDinoConfig(box_threshold=0.0, text_threshold=0.0, min_score=0.0)
    return adapter.GroundingDinoPackageDetector(model, config)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # the package is older than what it imports
def test_groundingdino_py_proposes(package_detector) -> None:
    small = IMAGE[::4, ::4]
    first, second = package_detector.propose(small, ["red button", "blue block"])
    assert first
    for candidate in first:
        assert (candidate.box_xyxy_px >= 0).all()
        assert (candidate.box_xyxy_px <= [160, 120, 160, 120]).all()
    assert [c.query for c in second] == ["blue block"] * len(second)
    again = package_detector.propose(small, ["red button"])[0]
    assert [c.score for c in again] == [c.score for c in first]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # the package is older than what it imports
def test_groundingdino_py_refuses(package_detector) -> None:
    with pytest.raises(QueryError, match="no queries"):
        package_detector.propose(IMAGE, [])
    with pytest.raises(QueryError, match="does not know"):
        package_detector.propose(IMAGE, ["zebra"])
