"""Draws what a policy looks at: attention to the key-patches left, saliency right, bars below."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from glue_bringup.recording.attribution_bars import bar_chart, color_bar
from glue_perception.overlay.style import INK, WHITE, pixel, put_text, text_scale, text_size
from glue_perception.types import CameraFrame, KeyPatches
from glue_policy.policies.attribution import Attribution

Image = UInt8[np.ndarray, "height width 3"]

TOKENS_PER_SIDE = 14
HEAT = cv2.COLORMAP_INFERNO
WEIGHT = cv2.COLORMAP_CIVIDIS
"""Both grow in lightness all the way, so that colour-blind readers and grey prints lose nothing."""

MAX_TIMES_UNIFORM = 2.0
SALIENCY_DOUBLINGS = 6
"""The scale runs from the mean pixel to 64 times as much, in doublings: a few places hold most of it."""

SELECTED = (86, 180, 233)
STRIP_PX = 168
_SALIENCY_TITLE = "saliency: where a change of the image changes the policy's answer"
_INSET_SHARE = 0.44


@dataclass(frozen=True)
class Token:
    """A global token by its place in the 14 x 14 map of the whole image."""

    row: int
    col: int

    @property
    def index(self) -> int:
        """Its row in the attention."""
        return self.row * TOKENS_PER_SIDE + self.col


def draw_attribution(
    frame: CameraFrame, patches: KeyPatches, found: Attribution, token: Token | None, title: str
) -> Image:
    """Return the picture of one frame: 2 x width and height + a strip; saliency alone for want of attention.

    Args:
        frame: The camera's.
        patches: Of `frame`.
        found: Of this frame.
        token: Whose attention is drawn as lines; None for the one that is farthest from even attention.
        title: Of the status line, e.g. policy and time.
    """
    right = _saliency_panel(frame, found.saliency)
    if found.attention is None:
        return np.vstack([_titled(right, f"{title}   saliency: which pixels change the answer")])
    chosen = token if token is not None else most_selective(found.attention)
    left = _attention_panel(frame, patches, found.attention, chosen)
    panels = np.hstack(
        [
            _titled(
                left,
                f"{title}   attention of 14 x 14 global tokens to the key-patches (brighter tile: less even)",
            ),
            _titled(right, _SALIENCY_TITLE),
        ]
    )
    return np.vstack([panels, _strip(panels.shape[1], patches, found, chosen)])


def most_selective(attention: Float[np.ndarray, "196 n"]) -> Token:
    """Return the token whose attention is farthest from even."""
    row, col = divmod(int(selectivity(attention).argmax()), TOKENS_PER_SIDE)
    return Token(row, col)


def selectivity(attention: Float[np.ndarray, "196 n"]) -> Float[np.ndarray, "196"]:
    """Return how far each token's attention is from even, 0..1: the share of weight that would have to move."""
    count = attention.shape[1]
    moved: np.ndarray = 0.5 * np.abs(attention - 1.0 / count).sum(axis=1)
    return moved


def heat(values: Float[np.ndarray, "*n"], colormap: int) -> UInt8[np.ndarray, "*n 3"]:
    """Return RGB colours of values in 0..1."""
    levels = np.clip(values * 255.0, 0, 255).astype(np.uint8).reshape(-1, 1)
    colors: np.ndarray = cv2.applyColorMap(levels, colormap)[:, 0, ::-1]
    return colors.reshape(*np.shape(values), 3)


def saliency_level(saliency: Float[np.ndarray, "s s"]) -> Float[np.ndarray, "s s"]:
    """Return 0 at the mean pixel and below, 1 at 64 times the mean, in doublings between; lightly smoothed."""
    size = len(saliency)
    smooth = cv2.GaussianBlur(saliency * saliency.size, (0, 0), size / 75)
    level: np.ndarray = np.log2(np.maximum(smooth, 1.0)) / SALIENCY_DOUBLINGS
    clipped: np.ndarray = np.clip(level, 0.0, 1.0)
    return clipped


def _saliency_panel(frame: CameraFrame, saliency: Float[np.ndarray, "s s"]) -> Image:
    level = cv2.resize(
        saliency_level(saliency), (frame.width_px, frame.height_px), interpolation=cv2.INTER_LINEAR
    )
    grey = _grey(frame.rgb)
    opacity = (0.85 * np.minimum(1.0, 2.5 * level))[..., None]
    mixed = grey * (1.0 - opacity) + heat(level, HEAT) * opacity
    image: np.ndarray = mixed.astype(np.uint8)
    ticks = [(0.0, "mean"), (0.5, f"{2 ** (SALIENCY_DOUBLINGS // 2)} x"), (1.0, f"{2**SALIENCY_DOUBLINGS} x")]
    return color_bar(image, heat(np.linspace(0, 1, 128), HEAT), ticks, "influence of a pixel")


def _attention_panel(
    frame: CameraFrame, patches: KeyPatches, attention: Float[np.ndarray, "196 n"], token: Token
) -> Image:
    image = _grey(frame.rgb).astype(np.uint8)
    width = image.shape[1]
    _draw_selectivity(image, attention)
    times = attention[token.index] * attention.shape[1]
    _draw_lines(image, patches, times, token)
    inset = _inset(frame, patches, times)
    side = inset.shape[0]
    # In the corner that is farther from the key-patches.
    x = 8 if patches.xy_px[:, 0].mean() > width / 2 else width - side - 8
    y = 34
    image[y : y + side, x : x + side] = inset
    cv2.rectangle(image, (x - 1, y - 1), (x + side, y + side), WHITE, 1)
    put_text(image, "key-patches, by number", (x + 6, y + side + 16), text_scale(image), WHITE)
    ticks = [(0.0, "0"), (0.5, "even"), (1.0, f"{MAX_TIMES_UNIFORM:.0f} x even")]
    return color_bar(
        image, heat(np.linspace(0, 1, 128), WEIGHT), ticks, "weight in the blue token's attention"
    )


def _draw_selectivity(image: Image, attention: Float[np.ndarray, "196 n"]) -> None:
    """Tint each token by how far from even its attention is, so that one sees where attention chooses at all."""
    height, width = image.shape[:2]
    share = selectivity(attention).reshape(TOKENS_PER_SIDE, TOKENS_PER_SIDE)
    tint = image.copy()
    for (row, col), value in np.ndenumerate(share):
        top_left, bottom_right = _corners(row, col, width, height)
        cv2.rectangle(tint, top_left, bottom_right, (255, 255, 255), cv2.FILLED)
        opacity = 0.55 * min(1.0, float(value) / 0.5)
        part = np.s_[top_left[1] : bottom_right[1], top_left[0] : bottom_right[0]]
        image[part] = (image[part] * (1 - opacity) + tint[part] * opacity).astype(np.uint8)
    for k in range(1, TOKENS_PER_SIDE):
        x, y = round(k * width / TOKENS_PER_SIDE), round(k * height / TOKENS_PER_SIDE)
        image[:, x] = (image[:, x] * 0.8 + 51).astype(np.uint8)
        image[y, :] = (image[y, :] * 0.8 + 51).astype(np.uint8)


def _draw_lines(image: Image, patches: KeyPatches, times: Float[np.ndarray, "n"], token: Token) -> None:
    height, width = image.shape[:2]
    top_left, bottom_right = _corners(token.row, token.col, width, height)
    centre = ((top_left[0] + bottom_right[0]) // 2, (top_left[1] + bottom_right[1]) // 2)
    colors = heat(times / MAX_TIMES_UNIFORM, WEIGHT)
    for index in np.argsort(times):
        thickness = max(1, round(2.0 * float(times[index])))
        cv2.line(image, centre, pixel(patches.xy_px[index]), colors[index].tolist(), thickness, cv2.LINE_AA)
    cv2.rectangle(image, top_left, bottom_right, INK, 4)
    cv2.rectangle(image, top_left, bottom_right, SELECTED, 2)
    for index in np.argsort(times):
        at = pixel(patches.xy_px[index])
        cv2.circle(image, at, 4, INK, cv2.FILLED, cv2.LINE_AA)
        cv2.circle(image, at, 3, colors[index].tolist(), cv2.FILLED, cv2.LINE_AA)


def _inset(frame: CameraFrame, patches: KeyPatches, times: Float[np.ndarray, "n"]) -> Image:
    """Return the surroundings of the key-patches, magnified, each with its number on its colour."""
    side = round(_INSET_SHARE * frame.height_px)
    low, high = patches.xy_px.min(axis=0), patches.xy_px.max(axis=0)
    span = max(1.35 * float((high - low).max()), frame.height_px / 14)
    corner = (low + high) / 2 - span / 2
    scale = side / span
    to_inset = np.array([[scale, 0, -scale * corner[0]], [0, scale, -scale * corner[1]]])
    inset = cv2.warpAffine(frame.rgb, to_inset, (side, side), flags=cv2.INTER_LINEAR)
    inset = (inset * 0.75).astype(np.uint8)
    colors = heat(times / MAX_TIMES_UNIFORM, WEIGHT)
    size = text_scale(frame.rgb) * 0.85
    for index in np.argsort(times):
        at = pixel(scale * (patches.xy_px[index] - corner))
        seen = bool(patches.visible[index])
        cv2.circle(inset, at, 11, INK if seen else WHITE, 1 if seen else 2, cv2.LINE_AA)
        cv2.circle(inset, at, 10, colors[index].tolist(), cv2.FILLED if seen else 1, cv2.LINE_AA)
        text = str(index + 1)
        text_width, text_height = text_size(text, size)
        ink = INK if seen and times[index] > 0.5 * MAX_TIMES_UNIFORM else WHITE
        put_text(inset, text, (at[0] - text_width // 2, at[1] + text_height // 2), size, ink)
    result: np.ndarray = inset
    return result


def _strip(width: int, patches: KeyPatches, found: Attribution, token: Token) -> Image:
    """Return the bars below the panels: attention left, what hiding a key-patch changes right."""
    if found.attention is None or found.displacement_m is None:
        return np.zeros((0, width, 3), np.uint8)
    count = found.attention.shape[1]
    numbers = [str(k + 1) for k in range(count)]
    mean = found.attention.mean(axis=0) * count
    left = bar_chart(
        (width // 2, STRIP_PX),
        "attention to each key-patch: mean over all tokens (bar), blue token (tick); 1 is even",
        numbers,
        mean,
        max(MAX_TIMES_UNIFORM, float(mean.max())),
        heat(mean / MAX_TIMES_UNIFORM, WEIGHT),
        marks=found.attention[token.index] * count,
        mark_color=SELECTED,
        line_at=1.0,
        hollow=~patches.visible,
    )
    moved_mm = 1e3 * found.displacement_m
    ceiling = max(10.0, float(moved_mm.max()))
    right = bar_chart(
        (width - width // 2, STRIP_PX),
        "the predicted path moves so far when this key-patch is hidden [mm]",
        [*numbers, "all"],
        moved_mm,
        ceiling,
        heat(np.full(count + 1, 0.75), WEIGHT),
        hollow=np.append(~patches.visible, not patches.visible.any()),
    )
    return np.hstack([left, right])


def _titled(image: Image, text: str) -> Image:
    band = np.full((26, image.shape[1], 3), INK, np.uint8)
    put_text(band, text, (8, 18), text_scale(image), WHITE)
    return np.vstack([band, image])


def _grey(rgb: Image) -> Float[np.ndarray, "height width 3"]:
    """Return the frame dimmed and without colour, so that only what is drawn has colour."""
    grey: np.ndarray = np.repeat(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2) * 0.6
    return grey


def _corners(row: int, col: int, width: int, height: int) -> tuple[tuple[int, int], tuple[int, int]]:
    return (
        (round(col * width / TOKENS_PER_SIDE), round(row * height / TOKENS_PER_SIDE)),
        (round((col + 1) * width / TOKENS_PER_SIDE), round((row + 1) * height / TOKENS_PER_SIDE)),
    )
