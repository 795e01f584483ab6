"""CoTracker3, online model (Karaev et al. 2024, arXiv 2410.11831): the paper's tracker, on windows of 16 frames.

CoTracker's code and weights are under CC BY-NC 4.0: for NON-COMMERCIAL use only. Nothing of them is part of this
project; who wants them installs them (`INSTALL_COMMAND`) and fetches the weights.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8

from glue_perception.errors import CheckpointError, ConfigError, MissingDependencyError
from glue_perception.trackers.cotracker3_config import CoTracker3Config, NetworkDevice
from glue_perception.trackers.window_network import WindowAnswer, WindowQueries
from glue_perception.trackers.windowed import WindowedTracker
from glue_perception.weights.store import WeightsStore

LOG = logging.getLogger(__name__)

LICENCE = "CC BY-NC 4.0 (non-commercial use only)"
INSTALL_COMMAND = (
    "pip install git+https://github.com/facebookresearch/co-tracker@82e02e8029753ad4ef13cf06be7f4fc5facdda4d"
)
"""The revision whose online state this adapter knows."""

WEIGHTS_FILE = "scaled_online.pth"
WEIGHTS_ENTRY = "cotracker3-online"

_PREDICTED = ("online_coords_predicted", "online_vis_predicted", "online_conf_predicted")
_STATE = (*_PREDICTED, "online_ind", "online_track_feat", "online_track_support")
"""Attributes of the model that carry it from window to window."""


def build_cotracker3(config: CoTracker3Config) -> WindowedTracker:
    """Return the tracker with its weights loaded; says once in the log under which licence.

    Raises:
        MissingDependencyError: CoTracker is not installed.
        ConfigError: CUDA is asked for and there is none.
        WeightsError: no weights are named, and none have been fetched.
        CheckpointError: the weights that are named are missing, unreadable, or of another model.
    """
    network = CoTracker3Network(load_model(weights_file(config)), config)
    LOG.warning("CoTracker3 (code and weights) is licensed %s", LICENCE)
    return WindowedTracker(network, config)


def weights_file(config: CoTracker3Config) -> Path:
    """Return where the online model's weights are: the file that the configuration names, or the fetched ones.

    Raises:
        WeightsError: none are named, and none have been fetched.
    """
    if config.weights is None:
        return WeightsStore().only_file(WEIGHTS_ENTRY)
    return config.weights.expanduser()


def load_model(path: Path) -> torch.nn.Module:
    """Return CoTracker3's online model with weights of a .pth or .safetensors file.

    Raises:
        MissingDependencyError: CoTracker is not installed.
        CheckpointError: the file is missing, unreadable, or of another model.
    """
    weights = _read_weights(path)
    if "time_emb" not in weights or weights["time_emb"].ndim != 3:
        raise CheckpointError(
            f"{path} does not hold CoTracker3: it has no time_emb; expected is {WEIGHTS_FILE}"
        )
    model = _untrained_model(int(weights["time_emb"].shape[1]))
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise CheckpointError(
            f"{path} does not fit CoTracker3's online model; expected is {WEIGHTS_FILE}: "
            f"{' '.join(str(error).split())[:300]}"
        ) from error
    return model


def _untrained_model(window_frames: int) -> torch.nn.Module:
    # CoTracker seeds torch's global generator when it is imported, and building draws from it.
    with torch.random.fork_rng(devices=[]):
        try:
            from cotracker.models.build_cotracker import build_cotracker
        except ImportError as error:
            raise MissingDependencyError(
                f"tracker 'cotracker3' needs CoTracker, licensed {LICENCE}, which cannot be imported ({error}); "
                f"install it with: {INSTALL_COMMAND}"
            ) from error
        model: torch.nn.Module = build_cotracker(None, offline=False, window_len=window_frames)
    return model


def _read_weights(path: Path) -> dict[str, torch.Tensor]:
    if not path.is_file():
        raise CheckpointError(
            f"there is no file {path}; fetch {WEIGHTS_FILE} of CoTracker3 ({LICENCE}), which "
            "CoTracker's README links to, and set cotracker3.weights to its path"
        )
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            weights = load_file(path)
        else:
            weights = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        # Unreadable files raise half a dozen kinds of errors.
        raise CheckpointError(f"cannot read weights from {path}: {error}") from error
    weights = weights.get("model", weights) if isinstance(weights, dict) else {}
    if not weights or not all(isinstance(tensor, torch.Tensor) for tensor in weights.values()):
        raise CheckpointError(
            f"{path} does not hold a mapping of names to tensors; expected is {WEIGHTS_FILE}"
        )
    return weights


class CoTracker3Network:
    """CoTracker3's online model as a `WindowNetwork`.

    The model expects windows that overlap by half, of frames that follow each other. It keeps every position it ever
    predicted; here its state is cut back to the last window after each answer, with the window always beginning at
    the same frame number, which changes no answer. Images are stretched to the input's size so that the centres of
    the corner pixels fall on each other, as CoTracker's own predictor does; places are mapped back by the same rule.

    Args:
        model: `CoTrackerThreeOnline`.
        config: Input size, support grid, iterations, device.

    Raises:
        ConfigError: CUDA is asked for and there is none.
        MissingDependencyError: the model keeps its online state otherwise than the known revision of CoTracker.
    """

    def __init__(self, model: Any, config: CoTracker3Config) -> None:
        self._device = _torch_device(config.device)
        self._model = model
        self._model.to(self._device).eval().requires_grad_(False)
        self._model.init_video_online_processing()
        unknown = [name for name in _STATE if not hasattr(self._model, name)]
        if unknown:
            raise MissingDependencyError(
                f"this revision of CoTracker lacks {', '.join(unknown)}; install the known one: {INSTALL_COMMAND}"
            )
        self._input_size = (config.input_height_px, config.input_width_px)
        self._iterations = config.iterations
        self._support = _support_grid(config).to(self._device)
        self._num_points = 0

    @property
    def window_frames(self) -> int:
        """Frames in a window: 16 in the published model."""
        return int(self._model.window_len)

    @property
    def step_frames(self) -> int:
        """New frames in every later window: half of it."""
        return self.window_frames // 2

    def begin(self, num_points: int) -> None:
        """Forget everything; the support grid begins in the next window's first frame."""
        self._num_points = num_points
        self._model.init_video_online_processing()
        self._queries = torch.zeros(1, num_points + len(self._support), 3, device=self._device)
        self._queries[0, num_points:, 1:] = self._support

    @torch.inference_mode()
    def track(
        self, images: Sequence[UInt8[np.ndarray, "height width 3"]], queries: WindowQueries
    ) -> WindowAnswer:
        """Return where the points are in the newest of 16 images."""
        height, width = images[0].shape[:2]
        to_input = _scale(self._input_size, height, width)
        self._set_queries(queries, to_input)
        places, visibility, confidence, _ = self._model(
            video=self._video(images), queries=self._queries, iters=self._iterations, is_online=True
        )
        self._cut_state()
        n = self._num_points
        return WindowAnswer(
            (places[0, -1, :n].double().cpu() / to_input).numpy(),
            visibility[0, -1, :n].double().cpu().numpy(),
            confidence[0, -1, :n].double().cpu().numpy(),
        )

    def _video(
        self, images: Sequence[UInt8[np.ndarray, "height width 3"]]
    ) -> Float[torch.Tensor, "1 t 3 h w"]:
        """Return the window at the input's size, 0..255."""
        frames = torch.from_numpy(np.stack(images)).to(self._device).permute(0, 3, 1, 2).float()
        return torch.nn.functional.interpolate(frames, self._input_size, mode="bilinear", align_corners=True)[
            None
        ]

    def _set_queries(self, queries: WindowQueries, to_input: Float[torch.Tensor, "2"]) -> None:
        """Tell the model which points begin in the next window; all others began before it."""
        begin = int(self._model.online_ind)
        index = torch.from_numpy(np.asarray(queries.index)).to(self._device)
        self._queries[0, index, 0] = torch.from_numpy(queries.frame_index + begin).float().to(self._device)
        self._queries[0, index, 1:] = (torch.from_numpy(queries.xy_px) * to_input).float().to(self._device)
        for features in (*self._model.online_track_feat, *self._model.online_track_support):
            if features is not None:
                # The model adds what a point looks like where it begins to what it holds of it.
                features[:, :, index] = 0

    def _cut_state(self) -> None:
        """Keep the last window of the model's state and number its frames from 0."""
        window = self.window_frames
        for name in _PREDICTED:
            setattr(self._model, name, getattr(self._model, name)[:, -window:])
        self._model.online_ind = self.step_frames
        self._queries[0, :, 0] = 0


def _scale(input_size: tuple[int, int], height: int, width: int) -> Float[torch.Tensor, "2"]:
    """Return px of the input per px of the frame in x and y; both are 0 at the centre of the top-left pixel."""
    rows, columns = input_size
    return torch.tensor(
        [(columns - 1) / max(1, width - 1), (rows - 1) / max(1, height - 1)], dtype=torch.float64
    )


def _torch_device(device: NetworkDevice) -> torch.device:
    if device is NetworkDevice.AUTO:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device is NetworkDevice.CUDA and not torch.cuda.is_available():
        raise ConfigError("cotracker3.device is cuda, but torch sees no CUDA device; use auto or cpu")
    return torch.device(device.value)


def _support_grid(config: CoTracker3Config) -> Float[torch.Tensor, "k 2"]:
    """Return an even grid over the network's input, a 64th of its width away from the border."""
    if config.support_grid == 0:
        return torch.zeros(0, 2)
    margin = config.input_width_px / 64
    x = torch.linspace(margin, config.input_width_px - margin, config.support_grid)
    y = torch.linspace(margin, config.input_height_px - margin, config.support_grid)
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1).reshape(-1, 2)
