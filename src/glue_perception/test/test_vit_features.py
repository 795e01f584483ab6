"""Features of pixels from a ViT: the sparse computation equals the paper's full map."""

import itertools

import numpy as np
import pytest
import torch
from torch.nn import functional

from glue_perception.clustering import nearest_to_centres
from glue_perception.errors import ConfigError, InvalidValueError, QueryError
from glue_perception.features.vit_grid import PatchEncoder, VitGridEncoder, borders
from glue_perception.features.vit_grid_config import Dinov2GridConfig, VitGridConfig
from glue_perception.keypoint_extractor import thinned
from glue_perception.nets.compute import Compute, Device, Precision

RNG = np.random.default_rng(0)


def picture(height: int, width: int) -> np.ndarray:
    return RNG.integers(0, 256, (height, width, 3), dtype=np.uint8)


def full_map(encoder: VitGridEncoder, rgb: np.ndarray, grid: int) -> np.ndarray:
    """The paper's computation: every sub-image encoded, upsampled as a whole, and put back; H x W x N_f."""
    vit = encoder._encoder
    rows, cols = borders(rgb.shape[0], grid), borders(rgb.shape[1], grid)
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (vit.mean, vit.std))
    parts = []
    for top, bottom in itertools.pairwise(rows):
        line = []
        for left, right in itertools.pairwise(cols):
            part = torch.from_numpy(rgb[top:bottom, left:right].copy()).permute(2, 0, 1)[None].float() / 255
            size = (vit.size_px, vit.size_px)
            part = functional.interpolate(part, size, mode="bicubic", antialias=True).clamp(0, 1)
            with torch.inference_mode():
                tokens = vit.encode((part - mean) / std)
            n = int(tokens.shape[1] ** 0.5)
            patches = tokens.transpose(1, 2).reshape(1, -1, n, n)
            line.append(
                functional.interpolate(
                    patches, (bottom - top, right - left), mode="bilinear", align_corners=False
                )
            )
        parts.append(torch.cat(line, dim=3))
    return torch.cat(parts, dim=2)[0].permute(1, 2, 0).numpy()


@pytest.fixture(scope="module", params=["clip", "dinov2"])
def build(request, weights_root):
    if request.param == "clip":
        from glue_perception.features.clip import clip_encoder

        return lambda **options: clip_encoder(
            weights_root / "clip-vit-base-patch16", VitGridConfig(**options)
        )
    from glue_perception.features.dinov2 import dinov2_encoder

    return lambda **options: dinov2_encoder(weights_root / "dinov2-base", Dinov2GridConfig(**options))


@pytest.mark.parametrize(
    ("height", "width", "grid"), [(64, 64, 1), (61, 83, 2), (50, 97, 4), (200, 300, 3), (4, 4, 4), (9, 7, 2)]
)
def test_equals_the_full_map_at_every_pixel(build, height, width, grid) -> None:
    """Borders of image and sub-images included; images smaller and larger than the network's input."""
    rgb, encoder = picture(height, width), build(grid=grid, batch_size=3)
    expected = full_map(encoder, rgb, grid)
    found = encoder.encode(rgb, np.ones((height, width), bool))
    np.testing.assert_allclose(found, expected.reshape(height * width, -1), atol=2e-5)


def test_a_mask_gives_its_pixels_in_row_major_order(build) -> None:
    rgb, encoder = picture(60, 80), build(grid=4)
    expected = full_map(encoder, rgb, 4)
    mask = RNG.random((60, 80)) < 0.2
    mask[:, 30:50] = False
    found = encoder.encode(rgb, mask)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected[mask], atol=2e-5)


@pytest.mark.parametrize("batch_size", [1, 5, 16])
def test_batches_do_not_matter(build, batch_size) -> None:
    rgb, mask = picture(64, 64), np.ones((64, 64), bool)
    np.testing.assert_allclose(
        build(batch_size=batch_size).encode(rgb, mask), build(batch_size=2).encode(rgb, mask), atol=1e-5
    )


def counting_encoder(**options) -> tuple[VitGridEncoder, list[int]]:
    """A linear "network" of 2 x 2 patches that notes how many images it saw."""
    seen: list[int] = []

    def encode(image):
        seen.append(len(image))
        return functional.avg_pool2d(image, 4).flatten(2).transpose(1, 2)

    vit = PatchEncoder(encode, 8, 3, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), torch.device("cpu"))
    return VitGridEncoder(vit, VitGridConfig(**options)), seen


def test_sub_images_without_masked_pixels_are_not_encoded() -> None:
    encoder, seen = counting_encoder(grid=4, batch_size=2)
    mask = np.zeros((80, 80), bool)
    mask[5, 5] = mask[25, 45] = mask[79, 79] = True
    assert encoder.encode(picture(80, 80), mask).shape == (3, 3)
    assert seen == [2, 1]


def test_an_empty_mask_gives_no_vectors_and_no_work() -> None:
    encoder, seen = counting_encoder()
    assert encoder.encode(picture(40, 40), np.zeros((40, 40), bool)).shape == (0, 3)
    assert seen == []


def test_half_pixel_convention_by_hand() -> None:
    """4 px over 2 patches: their middles lie at 0.5 and 2.5; outside of them the value is constant."""
    encoder, _ = counting_encoder(grid=1)
    rgb = np.zeros((4, 4, 3), np.uint8)
    rgb[:, 2:] = 200
    first_row = encoder.encode(rgb, np.ones((4, 4), bool))[:4, 0]
    low, high = first_row[0], first_row[3]
    np.testing.assert_allclose(
        first_row, [low, low + 0.25 * (high - low), low + 0.75 * (high - low), high], atol=1e-6
    )


def test_deterministic(build) -> None:
    rgb, mask = picture(64, 64), np.ones((64, 64), bool)
    encoder = build()
    assert np.array_equal(encoder.encode(rgb, mask), encoder.encode(rgb, mask))


def test_a_grey_image_has_features_without_nan(build) -> None:
    found = build().encode(np.full((32, 32, 3), 128, np.uint8), np.ones((32, 32), bool))
    assert np.isfinite(found).all()


def test_fewer_pixels_than_clusters(build) -> None:
    mask = np.zeros((32, 32), bool)
    mask[3, 3:6] = True
    with pytest.raises(QueryError, match="3 px cannot hold 5"):
        nearest_to_centres(build().encode(picture(32, 32), mask), 5, 0)


def test_images_that_cannot_be_cut() -> None:
    encoder, _ = counting_encoder(grid=4)
    with pytest.raises(InvalidValueError, match="cannot be cut into 4"):
        encoder.encode(picture(3, 40), np.ones((3, 40), bool))
    with pytest.raises(InvalidValueError, match="mask"):
        encoder.encode(picture(40, 40), np.ones((40, 41), bool))


def test_half_precision_is_close_and_comes_out_as_float32(weights_root) -> None:
    from glue_perception.features.clip import clip_encoder

    folder, rgb, mask = weights_root / "clip-vit-base-patch16", picture(64, 64), np.ones((64, 64), bool)
    exact = clip_encoder(folder, VitGridConfig()).encode(rgb, mask)
    half = clip_encoder(folder, VitGridConfig(), Compute(Device.CPU, Precision.BFLOAT16)).encode(rgb, mask)
    assert half.dtype == np.float32
    assert np.abs(half - exact).max() < 0.1 * np.abs(exact).max()
    assert not np.array_equal(half, exact)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_that_is_not_there(weights_root) -> None:
    from glue_perception.features.clip import clip_encoder

    with pytest.raises(ConfigError, match="device: cpu"):
        clip_encoder(weights_root / "clip-vit-base-patch16", VitGridConfig(), Compute(Device.CUDA))


def test_thinned_masks() -> None:
    mask = np.zeros((100, 120), bool)
    mask[10:90, 10:110] = True
    assert thinned(mask, None) is mask
    assert thinned(mask, 8000) is mask
    half = thinned(mask, 7999)
    assert half.sum() == 2000
    assert (half <= mask).all()
    rows, cols = np.nonzero(half)
    assert not (rows % 2).any()
    assert not (cols % 2).any()
    assert thinned(mask, 100).sum() <= 100


@pytest.mark.parametrize("values", [{"grid": 0}, {"batch_size": 0}, {"max_pixels": 5}])
def test_config_refuses(values) -> None:
    with pytest.raises(ConfigError, match=next(iter(values))):
        VitGridConfig(**values)
