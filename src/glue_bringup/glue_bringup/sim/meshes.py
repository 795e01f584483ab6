"""The robot's visual meshes with fewer faces.

The meshes that come with franky-sim have 240,000 faces; software rendering spends two thirds of a frame's time
on their vertices. A quadric decimation to a twentieth looks the same at 640 x 480 and is made once, in the
user's cache.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

TOTAL_FACES = 12_000
"""Over all visual meshes; below about 8,000 the shells' outlines show corners."""

_MIN_FACES = 60
_FORMAT = "2"


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
        repr((_FORMAT, TOTAL_FACES, [(s.name, n) for s, n in zip(sources, sizes, strict=True)])).encode()
    ).hexdigest()[:16]
    folder = _cache_home() / f"meshes-{key}"
    copies = [folder / s.name for s in sources]
    if not all(c.exists() for c in copies):
        folder.mkdir(parents=True, exist_ok=True)
        meshes = [_read_obj(s) for s in sources]
        ratio = TOTAL_FACES / sum(len(faces) for _, faces in meshes)
        for copy, (vertices, faces) in zip(copies, meshes, strict=True):
            _write_obj(copy, *_decimate(vertices, faces, ratio))
    return copies


def _cache_home() -> Path:
    base = os.environ.get("XDG_CACHE_HOME", "")
    folder = (Path(base) if base else Path.home() / ".cache") / "glue"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:  # a read-only home must not stop the simulation
        return Path(tempfile.gettempdir()) / f"glue-{os.getuid()}"
    return folder


def _decimate(
    vertices: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"], ratio: float
) -> tuple[Float[np.ndarray, "w 3"], Int[np.ndarray, "g 3"]]:
    import fast_simplification

    target = max(_MIN_FACES, round(len(faces) * ratio))
    if len(faces) <= target:
        return vertices, faces
    return fast_simplification.simplify(  # type: ignore[no-any-return]
        vertices.astype(np.float32), faces.astype(np.int32), target_count=target
    )


def _read_obj(path: Path) -> tuple[Float[np.ndarray, "v 3"], Int[np.ndarray, "f 3"]]:
    vertices: list[list[float]] = []
    faces: list[list[int]] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("v "):
            vertices.append([float(x) for x in line.split()[1:4]])
        elif line.startswith("f "):
            corner = [int(c.split("/", 1)[0]) - 1 for c in line.split()[1:]]
            faces.extend([corner[0], corner[k], corner[k + 1]] for k in range(1, len(corner) - 1))
    # The files repeat a vertex for every facet at a crease; a decimation needs a connected surface.
    unique, inverse = np.unique(np.round(np.array(vertices), 6), axis=0, return_inverse=True)
    return unique, inverse.reshape(-1)[np.array(faces)]


def _write_obj(path: Path, vertices: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"]) -> None:
    lines = [f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in vertices]
    lines += [f"f {a + 1} {b + 1} {c + 1}" for a, b, c in faces]
    with tempfile.NamedTemporaryFile("w", dir=path.parent, suffix=".tmp", delete=False) as file:
        file.write("\n".join(lines) + "\n")
    # Renamed when complete, so that a second process that starts meanwhile never reads half a mesh.
    Path(file.name).replace(path)
