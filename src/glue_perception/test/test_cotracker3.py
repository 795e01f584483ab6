"""CoTracker3: its settings and files everywhere; the network itself, with random weights, where it is installed."""

import importlib.util
import logging
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from correlation_network import CorrelationNetwork

from glue_perception.back_ends import TRACKERS
from glue_perception.config import from_mapping, to_mapping
from glue_perception.errors import ConfigError, MissingDependencyError, WeightsError
from glue_perception.nets.compute import Device
from glue_perception.perception_config import PerceptionConfig
from glue_perception.trackers.cotracker3 import CoTracker3Network, load_model
from glue_perception.trackers.cotracker3_config import CoTracker3Config
from glue_perception.trackers.window_network import WindowQueries
from glue_perception.types import CameraFrame, Keypoints

INSTALLED = importlib.util.find_spec("cotracker") is not None
needs_cotracker = pytest.mark.skipif(not INSTALLED, reason="CoTracker (CC BY-NC 4.0) is not installed")
WINDOW, HEIGHT, WIDTH = 8, 96, 128
POINTS = np.array([[20.0, 30], [70, 50.5], [100, 80], [5, 5], [64, 20]])
SMALL = CoTracker3Config(
    background=False,
    input_height_px=64,
    input_width_px=96,
    support_grid=3,
    iterations=1,
)


def settings(values: dict) -> PerceptionConfig:
    return from_mapping(
        PerceptionConfig, {"tracker": "cotracker3", "device": "cpu", "cotracker3": values}, "task.yaml"
    )


def test_settings_from_yaml_and_back() -> None:
    config = settings({"weights": "a/scaled_online.pth", "background": False})
    assert config.cotracker3.weights == Path("a/scaled_online.pth")
    assert from_mapping(PerceptionConfig, to_mapping(config), "x") == config


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"input_height_px": 382}, "multiple of 4.*nearest is 384"),
        ({"support_grid": 1}, "support_grid"),
        ({"iterations": 0}, "iterations"),
        ({"min_visible_score": 2.0}, "min_visible_score"),
        ({"backgroud": True}, "Did you mean 'background'"),
    ],
)
def test_settings_refuse(values, says) -> None:
    with pytest.raises(ConfigError, match=says):
        settings(values)


def test_missing_weights_say_how_to_fetch_them(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("GLUE_WEIGHTS_DIR", str(tmp_path))
    with pytest.raises(WeightsError, match=r"scaled_online\.pth.*glue weights fetch cotracker3-online"):
        TRACKERS["cotracker3"](settings({}))
    with pytest.raises(WeightsError, match=r"nowhere\.pth.*BY-NC.*glue weights fetch cotracker3-online"):
        TRACKERS["cotracker3"](settings({"weights": str(tmp_path / "nowhere.pth")}))


def test_wrong_weights_are_refused(tmp_path) -> None:
    path = tmp_path / "scaled_online.pth"
    path.write_bytes(b"not a checkpoint")
    with pytest.raises(WeightsError, match="cannot read"):
        load_model(path)
    torch.save([1, 2], path)
    with pytest.raises(WeightsError, match="no dictionary of tensors"):
        load_model(path)
    torch.save({"weight": torch.zeros(3)}, path)
    with pytest.raises(WeightsError, match="no time_emb"):
        load_model(path)
    torch.save({"time_emb": torch.zeros(1, 60, 8)}, path)
    with pytest.raises(WeightsError, match=r"60 frames.*offline.*scaled_online\.pth"):
        load_model(path)


@pytest.mark.skipif(INSTALLED, reason="CoTracker is installed")
def test_without_cotracker_the_error_names_the_command_and_the_licence(tmp_path) -> None:
    torch.save({"model": {"time_emb": torch.zeros(1, 16, 8)}}, tmp_path / "scaled_online.pth")
    with pytest.raises(
        MissingDependencyError, match=r"BY-NC.*pip install git\+https.*co-tracker@[0-9a-f]{40}"
    ):
        TRACKERS["cotracker3"](settings({"weights": str(tmp_path / "scaled_online.pth")}))


def test_another_online_state_is_refused() -> None:
    class Other(CorrelationNetwork):
        def init_video_online_processing(self):
            self.online_ind = 0

    with pytest.raises(MissingDependencyError, match=r"online_coords_predicted.*install the known one"):
        CoTracker3Network(Other(), SMALL, Device.CPU)


@pytest.mark.skipif(torch.cuda.is_available(), reason="has CUDA")
def test_cuda_where_there_is_none_is_refused() -> None:
    class Model(CorrelationNetwork):
        def init_video_online_processing(self): ...

    with pytest.raises(ConfigError, match="no CUDA"):
        CoTracker3Network(Model(), SMALL, Device.CUDA)


def test_the_pipeline_loads_without_torch() -> None:
    code = "import sys, glue_perception.pipeline; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def random_model(window: int = WINDOW) -> torch.nn.Module:
    """A model of the published architecture whose untrained answers really move."""
    from cotracker.models.build_cotracker import build_cotracker

    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = build_cotracker(None, offline=False, window_len=window)
        with torch.no_grad():
            model.updateformer.flow_head.weight *= 4
            model.updateformer.vis_conf_head.weight *= 5
    return model.eval()


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "scaled_online.pth"
    torch.save(random_model().state_dict(), path)
    return path


def images(count, height=HEIGHT, width=WIDTH) -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    coarse = torch.from_numpy(
        rng.integers(0, 256, (1, 3, height // 4, (width + 4 * count) // 4)).astype(np.float32)
    )
    wide = (
        torch.nn.functional.interpolate(coarse, (height, width + 4 * count), mode="bicubic")
        .clamp(0, 255)
        .byte()
    )
    wide = wide[0].permute(1, 2, 0).numpy()
    return [wide[:, 2 * k : 2 * k + width].copy() for k in range(count)]


def first_queries(xy=POINTS) -> WindowQueries:
    n = len(xy)
    return WindowQueries(np.arange(n), np.zeros(n, int), xy)


NO_QUERIES = WindowQueries(np.zeros(0, int), np.zeros(0, int), np.zeros((0, 2)))


def answers(network, frames, windows):
    network.begin(len(POINTS))
    step = network.step_frames
    return [
        network.track(
            frames[k * step : k * step + network.window_frames], NO_QUERIES if k else first_queries()
        )
        for k in range(windows)
    ]


@needs_cotracker
def test_equals_cotrackers_own_predictor_though_its_state_is_cut(weights) -> None:
    from cotracker.predictor import CoTrackerOnlinePredictor

    predictor = CoTrackerOnlinePredictor(checkpoint=None, window_len=WINDOW)
    predictor.model.load_state_dict(torch.load(weights, weights_only=True))
    predictor.interp_shape, predictor.support_grid_size = (64, 96), 3
    frames = images(4 * 3 + WINDOW)
    video = torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2).float()[None]
    queries = torch.cat([torch.zeros(5, 1), torch.from_numpy(POINTS).float()], 1)[None]
    predictor(video, is_first_step=True, queries=queries, add_support_grid=True)
    config = replace(SMALL, iterations=6)  # The predictor's own number.
    ours = answers(CoTracker3Network(load_model(weights), config, Device.CPU), frames, 3)
    for k, answer in enumerate(ours):
        theirs, seen = predictor(video[:, 4 * k : 4 * k + WINDOW], add_support_grid=True)
        assert theirs.shape[1] == WINDOW + 4 * k, "the predictor keeps all frames"
        assert np.abs(answer.xy_px - theirs[0, -1].numpy()).max() < 1e-3
        for mine, logit in ((answer.visibility, "vis"), (answer.confidence, "conf")):
            kept = getattr(predictor.model, f"online_{logit}_predicted")[0, -1, : len(POINTS)]
            assert np.abs(mine - torch.sigmoid(kept).numpy()).max() < 1e-4
        assert np.array_equal(answer.visibility * answer.confidence > 0.6, seen[0, -1].numpy())
    assert np.abs(ours[-1].xy_px - POINTS).max() > 1.0, (
        "random weights must move the points, or nothing is compared"
    )
    assert not np.allclose(ours[0].visibility, ours[-1].visibility, atol=1e-3)


@needs_cotracker
def test_state_does_not_grow(weights) -> None:
    network = CoTracker3Network(load_model(weights), SMALL, Device.CPU)
    frames = images(WINDOW)
    network.begin(len(POINTS))
    sizes = []
    for k in range(6):
        network.track(frames, NO_QUERIES if k else first_queries())
        model = network._model
        state = [model.online_coords_predicted, model.online_vis_predicted, model.online_conf_predicted]
        state += [*model.online_track_feat, *model.online_track_support]
        sizes.append(sum(tensor.untyped_storage().nbytes() for tensor in state))
    assert sizes[-1] == sizes[2] <= 2 * sizes[0]


@needs_cotracker
@pytest.mark.parametrize(("height", "width"), [(480, 640), (217, 333), (64, 96)])
def test_places_come_back_exactly_from_another_size(weights, height, width) -> None:
    model = load_model(weights)
    with torch.no_grad():
        model.updateformer.flow_head.weight.zero_()
    network = CoTracker3Network(model, SMALL, Device.CPU)
    corners = np.array([[0.0, 0], [width - 1, height - 1], [0.25 * width, 0.75 * height]])
    network.begin(len(corners))
    answer = network.track(images(WINDOW, height, width), first_queries(corners))
    assert np.abs(answer.xy_px - corners).max() < 1e-3


@needs_cotracker
def test_a_point_that_begins_anew_forgets_how_it_looked(weights) -> None:
    frames, place = images(WINDOW + 8), np.array([[33.0, 44.0]])
    network = CoTracker3Network(load_model(weights), SMALL, Device.CPU)
    answers(network, frames, 1)
    network.track(frames[4:-4], WindowQueries(np.array([2]), np.array([WINDOW - 1]), place))
    fresh = CoTracker3Network(load_model(weights), SMALL, Device.CPU)
    fresh.begin(len(POINTS))
    xy = POINTS.copy()
    xy[2] = place
    fresh.track(frames[4:-4], WindowQueries(np.arange(5), np.array([0, 0, WINDOW - 1, 0, 0]), xy))
    for old, new in zip(network._model.online_track_support, fresh._model.online_track_support, strict=True):
        assert torch.allclose(old[:, :, 2], new[:, :, 2], atol=1e-5)
        assert not torch.allclose(old[:, :, 1], new[:, :, 1], atol=1e-3)
    before = [features.clone() for features in network._model.online_track_support]
    network.track(frames[8:], NO_QUERIES)
    for old, new in zip(before, network._model.online_track_support, strict=True):
        assert torch.equal(old, new), "it begins once"


@needs_cotracker
def test_built_by_name_tracks_every_frame_and_says_the_licence_once(weights, caplog) -> None:
    config = settings(
        {
            "weights": str(weights),
            "background": False,
            "input_height_px": 64,
            "input_width_px": 96,
            "support_grid": 0,
        }
    )
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    with caplog.at_level(logging.WARNING):
        tracker = TRACKERS["cotracker3"](config)
    assert torch.equal(torch.rand(3), expected), "building draws no random numbers from the global generator"
    assert [r.message for r in caplog.records if "non-commercial" in r.message] == [caplog.records[0].message]

    def run():
        shown = [CameraFrame(k * 10**7, "c", image, np.eye(3)) for k, image in enumerate(images(14))]
        first = tracker.start(shown[0], Keypoints(POINTS, np.zeros(5, int), np.arange(5)))
        return [first, *(tracker.update(image) for image in shown[1:])]

    once, again = run(), run()
    assert tracker.last_error is None
    assert [t.result_age_ns // 10**7 for t in once] == [0, 1, 2, 3, 4, 5, 6, 0, 1, 2, 3, 0, 1, 2]
    for a, b in zip(once, again, strict=True):
        assert np.array_equal(a.xy_px, b.xy_px) and np.array_equal(a.confidence, b.confidence)


@needs_cotracker
def test_safetensors_and_wrong_model(weights, tmp_path) -> None:
    from safetensors.torch import save_file

    state = torch.load(weights, weights_only=True)
    save_file(state, tmp_path / "online.safetensors")
    loaded = load_model(tmp_path / "online.safetensors").state_dict()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in state.items())
    del state["fnet.conv1.weight"]
    torch.save({"model": state}, tmp_path / "wrong.pth")
    with pytest.raises(WeightsError, match=r"lacks 1 tensors.*fnet\.conv1\.weight"):
        load_model(tmp_path / "wrong.pth")
