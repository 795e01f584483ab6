from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from glue_perception.config import from_mapping
from glue_perception.errors import CheckpointError, ConfigError
from glue_policy.nets.feature_map import FeatureMap, FeatureMapConfig, SpatialSoftmax
from glue_policy.nets.resnet import FrozenBatchNorm, Norm, ResNet, resnet18_weights_directory
from glue_policy.nets.vit import clip_weights_directory
from glue_policy.policies import build_policy, policy_config, policy_entry
from glue_policy.policies.act.configuration_act import ActConfig
from glue_policy.policies.dp.configuration_dp import DpConfig

NARROW = FeatureMapConfig(widths=(16, 32), blocks=(1, 1))


@pytest.mark.parametrize("size_px", [16, 33, 64, 112])
def test_a_resnet_s_map_has_the_side_that_is_foretold(size_px: int) -> None:
    found = FeatureMap(NARROW, None)(torch.zeros(2, 3, size_px, size_px))
    side = NARROW.map_side(size_px)
    assert found.shape == (2, 32, side, side)


def test_a_small_vit_s_tokens_lie_in_their_places() -> None:
    config = FeatureMapConfig(encoder="small", vit_dim=32, vit_depth=1)
    encoder = FeatureMap(config, None)
    image = torch.zeros(1, 3, 112, 112)
    tokens = encoder.network(encoder.normalise(image))[0, 1:]
    found = encoder(image)
    assert found.shape == (1, 32, 14, 14)
    assert torch.equal(found[0, :, 2, 5], tokens[2 * 14 + 5])


def test_spatial_softmax_finds_a_peak() -> None:
    softmax = SpatialSoftmax(dim=1, side=5, num_keypoints=1)
    torch.nn.init.ones_(softmax.pick.weight)
    features = torch.zeros(2, 1, 5, 5)
    features[0, 0, 0, 4] = features[1, 0, 3, 2] = 50.0  # row, column
    places = softmax(features)
    torch.testing.assert_close(places, torch.tensor([[[1.0, -1.0]], [[0.0, 0.5]]]), atol=1e-5, rtol=0)


def test_frozen_batch_norm_is_batch_norm_at_rest() -> None:
    torch.manual_seed(0)
    usual, frozen = torch.nn.BatchNorm2d(4), FrozenBatchNorm(4)
    usual.weight.data.uniform_(0.5, 2.0)
    usual.bias.data.normal_()
    usual.running_mean.normal_()
    usual.running_var.uniform_(0.5, 2.0)
    frozen.load_state_dict({k: v for k, v in usual.state_dict().items() if "num_batches" not in k})
    x = torch.randn(2, 4, 3, 3)
    torch.testing.assert_close(frozen(x), usual.eval()(x), atol=1e-5, rtol=1e-5)
    assert not list(frozen.parameters())


@pytest.mark.parametrize("file", ["model.safetensors", "resnet18-f37072fd.pth"])
def test_published_weights_reach_act(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str) -> None:
    torch.manual_seed(1)
    source = ResNet((64, 128, 256, 512), (2, 2, 2, 2), Norm.FROZEN_BATCH).state_dict()
    published = source | {
        "fc.weight": torch.zeros(1000, 512),
        "fc.bias": torch.zeros(1000),
        "bn1.num_batches_tracked": torch.tensor(1),
    }
    monkeypatch.setenv("GLUE_WEIGHTS_DIR", str(tmp_path))
    assert resnet18_weights_directory() is None
    (tmp_path / "resnet18").mkdir()
    path = tmp_path / "resnet18" / file
    if path.suffix == ".pth":
        torch.save(published, path)
    else:
        save_file(published, path)
    config = policy_config("act", "paper")
    directory = policy_entry("act").policy_class().pretrained_directory(config)
    assert directory == tmp_path / "resnet18"
    small = ActConfig(image_size_px=64, dim=64, feedforward_dim=64, encoder_layers=1, style_layers=1)
    policy = build_policy("act", small, directory)
    found = policy.state_dict()
    assert all(torch.equal(found[f"features.network.{name}"], value) for name, value in source.items())


def test_weights_of_another_network_or_damaged_ones_are_refused(tmp_path: Path) -> None:
    network = ResNet((16, 32), (1, 1), Norm.GROUP)
    with pytest.raises(CheckpointError, match="holds no ResNet weights"):
        network.load_pretrained(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(CheckpointError, match="cannot load a ResNet"):
        network.load_pretrained(tmp_path)
    save_file({"conv1.weight": torch.zeros(16, 3, 7, 7)}, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match="cannot load a ResNet"):
        network.load_pretrained(tmp_path)


def test_only_pretrained_kinds_ask_for_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLUE_WEIGHTS_DIR", str(tmp_path))
    for name in ("dp", "dp3", "act"):
        assert policy_entry(name).policy_class().pretrained_directory(policy_config(name, "tiny")) is None


@pytest.mark.parametrize("name", ["dp", "act"])
def test_a_vit_can_take_the_resnet_s_place(name: str) -> None:
    vision = FeatureMapConfig(encoder="small", vit_dim=32, vit_depth=1)
    if name == "dp":
        config = DpConfig(vision=vision, image_size_px=120, crop_px=112, channels=(16, 16), step_dim=16)
    else:
        config = ActConfig(vision=vision, image_size_px=112, dim=32, feedforward_dim=32)
    policy = build_policy(name, config).eval()
    assert policy.encode(policy.example_observation(0)).shape == (1, policy.condition_dim)


@pytest.mark.parametrize(
    ("name", "settings"),
    [("dp", {"image_size_px": 248, "crop_px": 224}), ("act", {"image_size_px": 224})],
)
def test_clip_by_a_checkpoint_s_yaml(name: str, settings: dict) -> None:
    config = from_mapping(
        policy_entry(name).config_class(), settings | {"vision": {"encoder": "clip"}}, "test"
    )
    with torch.device("meta"):  # shapes without memory or arithmetic
        policy = build_policy(name, config)
        example = {k: v.to("meta") for k, v in policy.example_observation(0).items()}
        assert policy.encode(example).shape == (1, policy.condition_dim)
    assert policy_entry(name).policy_class().pretrained_directory(config) == clip_weights_directory()
    learnt = [p for p in policy.parameters() if p.requires_grad]
    assert sum(p.numel() for p in learnt) > 85e6, "the encoder learns too"


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: FeatureMapConfig(widths=(20,), blocks=(1,)), "20"),
        (lambda: FeatureMapConfig(widths=(16, 32), blocks=(1,)), "blocks"),
        (lambda: FeatureMapConfig(vit_dim=30), "vit_heads, which is 4"),
        (lambda: DpConfig(crop_px=300), "300"),
        (lambda: DpConfig(vision=FeatureMapConfig(encoder="clip")), "224 px, not 216"),
        (lambda: ActConfig(vision=FeatureMapConfig(encoder="small")), "112 px, not 448"),
        (lambda: ActConfig(dim=100), "100"),
        (lambda: ActConfig(dropout=1.0), "1.0"),
        (lambda: ActConfig(kl_weight=-1.0), "-1.0"),
        (lambda: ActConfig(image_size_px=24), "24 px"),
    ],
)
def test_impossible_settings_name_the_value(build, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build()
