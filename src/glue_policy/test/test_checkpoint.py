import resource
import signal
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from glue_perception.errors import CheckpointError
from glue_policy import checkpoint
from glue_policy.checkpoint import CONFIG_FILE, WEIGHTS_FILE, find_checkpoint, load_policy, save_policy
from glue_policy.policies.glue.configuration_glue import GlueConfig
from glue_policy.policies.glue.modeling_glue import GluePolicy


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    policy = GluePolicy(GlueConfig.preset("tiny"))
    policy.fit_ranges(torch.randn(20, 10), torch.randn(20, 7))
    save_policy(tmp_path / "disc", policy, {"command": "test"})
    return tmp_path / "disc"


def test_what_is_loaded_is_what_was_saved_bit_for_bit(saved: Path, tmp_path: Path) -> None:
    policy = load_policy(saved)
    assert not policy.training
    save_policy(tmp_path / "again", policy, {})
    assert (tmp_path / "again" / WEIGHTS_FILE).read_bytes() == (saved / WEIGHTS_FILE).read_bytes()
    assert not list(saved.glob("*.partial"))


def test_what_cannot_be_written_leaves_the_old_weights_and_nothing_else(saved: Path) -> None:
    policy, before = load_policy(saved), (saved / WEIGHTS_FILE).read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, limits[1]))
    try:
        with pytest.raises(CheckpointError, match="cannot write the checkpoint"):
            save_policy(saved, policy, {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert (saved / WEIGHTS_FILE).read_bytes() == before
    assert not list(saved.glob("*.partial"))


def test_pretrained_weights_on_this_machine_play_no_part(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GLUE_WEIGHTS_DIR", "/nowhere")
    load_policy(saved)


def damage_weights(directory: Path, name: str, value: torch.Tensor | None) -> None:
    weights = load_file(directory / WEIGHTS_FILE)
    weights.pop(name)
    if value is not None:
        weights[name] = value
    save_file(weights, directory / WEIGHTS_FILE)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "fusion.out.weight is nothing, needed"),
        (torch.zeros(5, 5), r"fusion.out.weight is \[5, 5\], needed \[128, 128\]"),
        (torch.full((128, 128), float("nan")), "NaN or infinite weights in fusion.out.weight"),
    ],
)
def test_wrong_weights_are_named(saved: Path, value: torch.Tensor | None, message: str) -> None:
    damage_weights(saved, "fusion.out.weight", value)
    with pytest.raises(CheckpointError, match=message):
        load_policy(saved)


def test_truncated_weights(saved: Path) -> None:
    path = saved / WEIGHTS_FILE
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_policy(saved)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("policy", "actt", "'actt', which is unknown here. Did you mean 'act'"),
        ("policy", ["glue"], "unknown here"),
        ("policy", "dp", "has no section 'dp'"),
        ("action_space", ["joint_position_rad[7]"], "another action space.*joint_position_rad"),
        ("format", "glue_checkpoint_9", "glue_checkpoint_9"),
        ("glue", {"horizn": 16}, "Did you mean 'horizon'"),
    ],
)
def test_another_policy_format_or_key_is_refused(saved: Path, key: str, value: object, message: str) -> None:
    data = yaml.safe_load((saved / CONFIG_FILE).read_text())
    (saved / CONFIG_FILE).write_text(yaml.safe_dump({**data, key: value}))
    with pytest.raises(CheckpointError, match=message):
        load_policy(saved)


def test_weights_of_another_policy_under_a_name(saved: Path) -> None:
    data = yaml.safe_load((saved / CONFIG_FILE).read_text())
    (saved / CONFIG_FILE).write_text(yaml.safe_dump({**data, "policy": "dp", "dp": {}}))
    with pytest.raises(CheckpointError, match="does not fit its configuration"):
        load_policy(saved)


def test_actions_of_another_width_are_named(saved: Path) -> None:
    damage_weights(saved, "action_range.centre", torch.zeros(7))
    with pytest.raises(CheckpointError, match="another action space: its actions have 7 values, ours 10"):
        load_policy(saved)


def test_a_checkpoint_from_before_action_spaces_were_written_down(saved: Path) -> None:
    data = yaml.safe_load((saved / CONFIG_FILE).read_text())
    del data["action_space"]
    (saved / CONFIG_FILE).write_text(yaml.safe_dump(data))
    load_policy(saved, name="glue")


def test_missing_configuration(saved: Path) -> None:
    (saved / CONFIG_FILE).unlink()
    with pytest.raises(CheckpointError, match=CONFIG_FILE):
        load_policy(saved)


def test_found_by_path_and_by_shipped_name(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "SHIPPED_DIRECTORY", saved.parent)
    assert find_checkpoint(str(saved)) == saved
    assert find_checkpoint("disc") == saved
    with pytest.raises(CheckpointError, match="Did you mean 'disc'"):
        find_checkpoint("disk")
    (saved.parent / "empty").mkdir()
    with pytest.raises(CheckpointError, match=f"holds no {WEIGHTS_FILE}"):
        find_checkpoint(str(saved.parent / "empty"))


def test_an_unwritable_place_is_an_error_with_its_name(saved: Path) -> None:
    (saved.parent / "file").write_text("")
    with pytest.raises(CheckpointError, match="file"):
        save_policy(saved.parent / "file" / "inside", load_policy(saved), {})
