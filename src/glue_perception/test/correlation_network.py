"""A small network that truly follows points: random convolutional features, matched around the last place."""

from collections.abc import Sequence

import numpy as np
import torch

from glue_perception.trackers.window_network import WindowAnswer, WindowQueries

SEARCH_PX = 4
SEEN = 0.85
"""Least correlation; other points stand still."""


class CorrelationNetwork(torch.nn.Module):
    """A `WindowNetwork`. `calls`: the first pixel of each image of each window; tests write its number there."""

    def __init__(self, window_frames: int = 8, step_frames: int = 4, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.weight = torch.nn.Parameter(torch.randn(16, 3, 7, 7, generator=generator), requires_grad=False)
        self.window_frames, self.step_frames = window_frames, step_frames
        self.calls: list[list[int]] = []
        self.queries: list[WindowQueries] = []
        self.begun = 0

    def begin(self, num_points: int) -> None:
        self.begun += 1
        self._xy = torch.zeros(num_points, 2)
        self._template = torch.zeros(num_points, 16)
        self._first = True

    @torch.inference_mode()
    def track(self, images: Sequence[np.ndarray], queries: WindowQueries) -> WindowAnswer:
        assert len(images) == self.window_frames
        self.calls.append([int(image[0, 0, 0]) for image in images])
        self.queries.append(queries)
        begin = 0 if self._first else self.window_frames - self.step_frames
        assert (queries.frame_index >= begin).all()
        self._first = False
        score = torch.ones(len(self._xy))
        for k, image in enumerate(images[begin:], begin):
            features = self._features(image)
            score = self._follow(features)
            here = queries.frame_index == k
            index = torch.from_numpy(queries.index[here])
            self._xy[index] = torch.from_numpy(queries.xy_px[here]).float()
            self._template[index] = self._sample(features, self._xy[index, None])[:, 0]
            score[index] = 1.0
        score = score.clamp(0, 1).double().numpy()
        return WindowAnswer(self._xy.double().numpy().copy(), score, np.ones(len(score)))

    def _features(self, image: np.ndarray) -> torch.Tensor:
        pixels = torch.from_numpy(image.copy()).permute(2, 0, 1).float()[None] / 255 - 0.5
        padded = torch.nn.functional.pad(pixels, (3, 3, 3, 3), mode="replicate")
        return torch.nn.functional.normalize(torch.nn.functional.conv2d(padded, self.weight), dim=1)

    def _sample(self, features: torch.Tensor, xy: torch.Tensor) -> torch.Tensor:
        size = torch.tensor([features.shape[-1], features.shape[-2]])
        grid = (2 * xy / (size - 1) - 1)[None]
        found = torch.nn.functional.grid_sample(features, grid, align_corners=True, padding_mode="border")
        return found[0].permute(1, 2, 0)

    def _follow(self, features: torch.Tensor) -> torch.Tensor:
        steps = torch.arange(-SEARCH_PX, SEARCH_PX + 1.0)
        offsets = torch.stack(torch.meshgrid(steps, steps, indexing="xy"), -1).reshape(-1, 2)
        places = self._xy[:, None] + offsets
        match = (self._sample(features, places) * self._template[:, None]).sum(-1)
        best, which = match.max(dim=1)
        seen = best > SEEN
        self._xy = torch.where(seen[:, None], places[torch.arange(len(places)), which], self._xy)
        return seen * best
