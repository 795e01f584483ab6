"""The robot's visual meshes with fewer faces.

The meshes that come with franky-sim have 240,000 faces; software rendering spends two thirds of a frame's time
on their vertices. A quadric decimation to a twentieth looks the same at 640 x 480 and is made once, in the
user's cache.
"""

from __future__ import annotations

import hashlib
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from glue_bringup.sim.cache import cache_folder, write_whole

FACES_PER_CM2 = 2.0
"""Keeps an edge at about a centimetre, four pixels of the default camera; coarser shells show corners."""

GRAIN_M = 0.0015
"""Vertices closer than this become one first: half a pixel, and it closes the seams that stop a decimation."""

_MIN_FACES = 150
_MIN_SHARE = 0.04  # thin parts have many faces on little area
_FORMAT = "4"


def use_light_meshes(scene: ET.Element) -> None:
    """Point the visual meshes of a franky-sim scene at decimated copies, which are made if missing.

    Args:
        scene: Root element of the MJCF, changed in place. Collision meshes keep their files.
    """
    compiler = scene.find("compiler")
    meshes = [m for m in scene.iter("mesh") if m.get("file", "").endswith("_vis.obj")]
    if compiler is None or not meshes:
        return
    folder = Path(compiler.get("meshdir", ""))
    sources = [folder / m.get("file", "") for m in meshes]
    cached = _light_copies(sources)
    for mesh, file in zip(meshes, cached, strict=True):
        mesh.set("file", str(file))


def _light_copies(sources: list[Path]) -> list[Path]:
    sizes = [s.stat().st_size for s in sources]
    key = hashlib.sha256(
        repr(
            (_FORMAT, FACES_PER_CM2, GRAIN_M, [(s.name, n) for s, n in zip(sources, sizes, strict=True)])
        ).encode()
    ).hexdigest()[:16]
    folder = cache_folder(f"meshes-{key}")
    copies = [folder / s.name for s in sources]
    if not all(c.exists() for c in copies):
        for source, copy in zip(sources, copies, strict=True):
            _write_obj(copy, *_decimate(*_read_obj(source)))
    return copies


def _decimate(
    vertices: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"]
) -> tuple[Float[np.ndarray, "w 3"], Int[np.ndarray, "g 3"]]:
    import fast_simplification

    a, b, c = (vertices[faces[:, k]] for k in range(3))
    area_cm2 = 0.5e4 * float(np.linalg.norm(np.cross(b - a, c - a), axis=1).sum())
    target = max(_MIN_FACES, round(FACES_PER_CM2 * area_cm2), round(_MIN_SHARE * len(faces)))
    if len(faces) <= target:
        return vertices, faces
    vertices, faces = _merge_near(vertices, faces)
    if len(faces) <= target:
        return vertices, faces
    return fast_simplification.simplify(  # type: ignore[no-any-return]
        vertices.astype(np.float32), faces.astype(np.int32), target_count=target
    )


def _merge_near(
    vertices: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"]
) -> tuple[Float[np.ndarray, "w 3"], Int[np.ndarray, "g 3"]]:
    """Replace the vertices of each cell of a grid by their mean and drop the faces that vanish."""
    cells = np.floor(vertices / GRAIN_M).astype(np.int64)
    _, cell, count = np.unique(cells, axis=0, return_inverse=True, return_counts=True)
    cell = cell.reshape(-1)
    merged = np.stack([np.bincount(cell, vertices[:, k]) for k in range(3)], axis=1) / count[:, None]
    moved = cell[faces]
    distinct = (moved[:, 0] != moved[:, 1]) & (moved[:, 1] != moved[:, 2]) & (moved[:, 2] != moved[:, 0])
    return merged, moved[distinct]


def _read_obj(path: Path) -> tuple[Float[np.ndarray, "v 3"], Int[np.ndarray, "f 3"]]:
    vertices: list[list[float]] = []
    faces: list[list[int]] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("v "):
            vertices.append([float(x) for x in line.split()[1:4]])
        elif line.startswith("f "):
            corner = [int(c.split("/", 1)[0]) - 1 for c in line.split()[1:]]
            faces.extend([corner[0], corner[k], corner[k + 1]] for k in range(1, len(corner) - 1))
    return np.array(vertices), np.array(faces)


def _write_obj(path: Path, vertices: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"]) -> None:
    lines = [f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in vertices]
    lines += [f"f {a + 1} {b + 1} {c + 1}" for a, b, c in faces]
    write_whole(path, ("\n".join(lines) + "\n").encode())
