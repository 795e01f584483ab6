from pathlib import Path

import pytest
import torch
import yaml

from glue_perception.errors import CheckpointError, WeightsError
from glue_policy.nets.fusion import assemble_grid, quarters, select_cells
from glue_policy.nets.vit import (
    ClipVit,
    ImageNormalisation,
    RandomPatchFeatures,
    SmallVit,
    clip_weights_directory,
)


def save_clip(directory: Path, **changes: int) -> Path:
    """A whole CLIP of text and image as openai/clip-vit-base-patch16 is saved, but with one layer each."""
    from transformers import CLIPConfig, CLIPModel

    vision = {
        "hidden_size": 768,
        "intermediate_size": 64,
        "num_attention_heads": 12,
        "patch_size": 16,
        **changes,
    }
    text = {"hidden_size": 16, "intermediate_size": 16, "num_attention_heads": 2, "vocab_size": 20}
    config = CLIPConfig(
        text_config={**text, "num_hidden_layers": 1, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1},
        vision_config={**vision, "num_hidden_layers": 1, "image_size": 224},
        projection_dim=16,
    )
    torch.manual_seed(0)
    CLIPModel(config).save_pretrained(directory, safe_serialization=True)
    return directory


def test_clip_is_loaded_from_a_whole_clip_in_the_real_format(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    model = ClipVit(save_clip(tmp_path))
    saved = load_file(tmp_path / "model.safetensors")
    name = "embeddings.patch_embedding.weight"
    (loaded,) = (v for k, v in model.state_dict().items() if k.endswith(name))
    (original,) = (v for k, v in saved.items() if k.endswith(name))
    assert torch.equal(loaded, original)
    assert model(torch.zeros(1, 3, 224, 224)).shape == (1, 197, 768)


def test_clip_of_another_shape_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"768, 224, 32"):
        ClipVit(save_clip(tmp_path, patch_size=32))


def test_clip_that_lacks_tensors_is_refused_instead_of_filled_with_noise(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    save_clip(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    kept = {k: v for k, v in weights.items() if not ("vision_model" in k and "mlp" in k)}
    save_file(kept, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(CheckpointError, match="lacks 4 tensors"):
        ClipVit(tmp_path)


@pytest.mark.parametrize("damage", ["empty directory", "garbage"])
def test_unreadable_clip_says_what_to_do(tmp_path: Path, damage: str) -> None:
    if damage == "garbage":
        save_clip(tmp_path)
        (tmp_path / "model.safetensors").write_bytes(b"garbage")
    with pytest.raises(CheckpointError, match="openai/clip-vit-base-patch16"):
        ClipVit(tmp_path)


def test_weights_directory_follows_the_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GLUE_WEIGHTS_DIR", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert clip_weights_directory() is None
    monkeypatch.setenv("GLUE_WEIGHTS_DIR", str(tmp_path))
    with pytest.raises(WeightsError, match="glue weights fetch clip-vit-base-patch16"):
        clip_weights_directory()
    directory = save_clip(tmp_path / "clip-vit-base-patch16")
    with pytest.raises(WeightsError, match=r"config\.json.*is refused"):
        clip_weights_directory()  # not the publisher's
    files = [{"name": "config.json"}, {"name": "model.safetensors"}]
    manifest = {"entries": [{"name": directory.name, "files": files}]}
    (tmp_path / "manifest.yaml").write_text(yaml.safe_dump(manifest))
    assert clip_weights_directory() == directory


def test_clip_is_loaded_from_a_pickle_of_plain_tensors(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    image = torch.zeros(1, 3, 224, 224)
    expected = ClipVit(save_clip(tmp_path))(image)
    torch.save(load_file(tmp_path / "model.safetensors"), tmp_path / "pytorch_model.bin")
    (tmp_path / "model.safetensors").unlink()
    assert torch.equal(ClipVit(tmp_path)(image), expected)


def test_small_vit_gives_cls_and_14_by_14_tokens() -> None:
    assert SmallVit(dim=32, depth=1, heads=4)(torch.randn(2, 3, 112, 112)).shape == (2, 197, 32)


def test_random_features_see_their_own_patch_only_and_are_the_same_every_time() -> None:
    features = RandomPatchFeatures(64)
    image = torch.randn(1, 3, 112, 112)
    changed = image.clone()
    changed[:, :, 8:16, 16:24] += 1.0  # patch (1, 2)
    different = (features(image) != features(changed)).any(dim=-1)[0]
    assert different.nonzero().flatten().tolist() == [14 + 2]
    assert torch.equal(features(image), RandomPatchFeatures(64)(image))
    assert not list(features.parameters())


def test_image_normalisation_leaves_its_input_alone() -> None:
    image = torch.full((1, 3, 4, 4), 255.0)
    out = ImageNormalisation()(image)
    assert (image == 255.0).all()
    torch.testing.assert_close(out[0, :, 0, 0], torch.tensor([1.9303, 2.0749, 2.1459]), atol=1e-3, rtol=0)


def test_random_features_at_cells_are_those_of_the_grid_of_quarters() -> None:
    torch.manual_seed(0)
    features, image = RandomPatchFeatures(64), torch.randn(3, 3, 224, 224)
    row_col = torch.tensor(
        [[[0, 0], [27, 27], [13, 14]], [[14, 13], [5, 20], [5, 20]], [[1, 2], [20, 3], [27, 0]]]
    )
    everywhere = torch.ones(3, 3, dtype=torch.bool)
    expected = select_cells(assemble_grid(features(quarters(image))), row_col, everywhere)
    torch.testing.assert_close(features.at_cells(image, row_col), expected, atol=1e-5, rtol=1e-5)
