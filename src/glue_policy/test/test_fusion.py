import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from glue_policy.nets.fusion import (
    LOCAL_DIM,
    GlobalLocalFusion,
    LocalPosition,
    Occlusion,
    assemble_grid,
    cell_centres,
    positional_code,
    quarters,
    select_cells,
)

DIM, N = 32, 6


def inputs(seed: int = 0) -> dict[str, torch.Tensor]:
    g = torch.Generator().manual_seed(seed)
    return {
        "tokens": torch.randn(2, 197, DIM, generator=g),
        "patch2": torch.randn(2, N, DIM, generator=g),
        "row_col": torch.randint(0, 28, (2, N, 2), generator=g),
        "xy": torch.rand(2, N, 2, generator=g),
        "visible": torch.ones(2, N, dtype=torch.bool),
        "joint_state": torch.randn(2, 7, generator=g),
    }


def fusion(occlusion: Occlusion, position: LocalPosition = LocalPosition.CELL) -> GlobalLocalFusion:
    torch.manual_seed(0)
    return GlobalLocalFusion(DIM, 4, occlusion, position)


def test_a_patch_comes_back_to_its_own_cell() -> None:
    # Each cell of a 56 x 56 image is 2 x 2 pixels; colour it by its number and encode quarters by their mean colour.
    number = torch.arange(28 * 28, dtype=torch.float32).view(28, 28)
    image = number.repeat_interleave(2, 0).repeat_interleave(2, 1).expand(1, 3, 56, 56)
    features = torch.nn.functional.avg_pool2d(quarters(image), 2).flatten(2).transpose(1, 2)
    assert features.shape == (4, 196, 3)
    assert torch.equal(assemble_grid(features)[0, :, :, 0], number)


def test_selection_takes_the_named_cell_and_zeroes_the_hidden() -> None:
    grid = torch.arange(28 * 28, dtype=torch.float32).view(1, 28, 28, 1)
    row_col = torch.tensor([[[0, 0], [3, 5], [27, 27], [3, 5]]])
    visible = torch.tensor([[True, True, True, False]])
    assert select_cells(grid, row_col, visible).flatten().tolist() == [0.0, 3 * 28 + 5, 783.0, 0.0]


@pytest.mark.parametrize("occlusion", Occlusion)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_all_hidden_gives_a_zero_local_feature(occlusion: Occlusion, dtype: torch.dtype) -> None:
    batch = inputs()
    batch["visible"][1] = False
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype is torch.bfloat16):
        encoding = fusion(occlusion)(**batch)
    assert torch.isfinite(encoding.condition).all()
    assert torch.isfinite(encoding.attention).all()
    assert (encoding.condition[1, :LOCAL_DIM] == 0).all()
    assert (encoding.condition[0, :LOCAL_DIM] != 0).any()


def test_masked_patches_have_no_influence_and_no_attention() -> None:
    batch = inputs()
    batch["visible"][:, 2] = False
    moved = {name: value.clone() for name, value in batch.items()}
    moved["patch2"][:, 2] += 5.0
    moved["row_col"][:, 2] = 0
    first, second = fusion(Occlusion.MASK)(**batch), fusion(Occlusion.MASK)(**moved)
    assert torch.equal(first.condition, second.condition)
    assert (first.attention[:, :, 2] == 0).all()


def test_zeroed_patches_keep_their_place_as_in_the_paper() -> None:
    batch = inputs()
    batch["visible"][:, 2] = False
    batch["patch2"][:, 2] = 0.0
    moved = {name: value.clone() for name, value in batch.items()}
    moved["row_col"][:, 2] = (batch["row_col"][:, 2] + 9) % 28
    first, second = fusion(Occlusion.ZERO)(**batch), fusion(Occlusion.ZERO)(**moved)
    assert not torch.allclose(first.condition, second.condition)


@settings(max_examples=10, deadline=None)
@given(st.permutations(range(N)))
def test_the_order_of_key_patches_does_not_matter(order: list[int]) -> None:
    batch = inputs()
    shuffled = {
        k: v[:, order] if k in ("patch2", "row_col", "xy", "visible") else v for k, v in batch.items()
    }
    module = fusion(Occlusion.ZERO)
    torch.testing.assert_close(module(**batch).condition, module(**shuffled).condition, atol=1e-5, rtol=1e-5)


def test_attention_is_a_distribution_over_key_patches() -> None:
    attention = fusion(Occlusion.ZERO)(**inputs()).attention
    assert attention.shape == (2, 196, N)
    torch.testing.assert_close(attention.sum(-1), torch.ones(2, 196))


def test_keypoint_position_sees_within_a_cell_and_cell_position_does_not() -> None:
    batch, moved = inputs(), inputs()
    moved["xy"] = moved["xy"] + 0.01
    for position, equal in ((LocalPosition.CELL, True), (LocalPosition.KEYPOINT, False)):
        module = fusion(Occlusion.ZERO, position)
        assert torch.equal(module(**batch).condition, module(**moved).condition) is equal


def test_one_place_has_one_code_on_both_grids() -> None:
    # The middle of global cell (3, 4) is the corner between local cells (6, 8) and (7, 9).
    middle = cell_centres(torch.tensor([3, 4]), 14)
    corner = (cell_centres(torch.tensor([6, 8]), 28) + cell_centres(torch.tensor([7, 9]), 28)) / 2
    torch.testing.assert_close(positional_code(middle, 64), positional_code(corner, 64), atol=1e-4, rtol=0)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 783), st.integers(0, 783))
def test_codes_of_different_cells_differ(a: int, b: int) -> None:
    code_a, code_b = (positional_code(cell_centres(torch.tensor(divmod(c, 28)), 28), 64) for c in (a, b))
    assert (a == b) == bool((code_a - code_b).norm() < 0.1)
