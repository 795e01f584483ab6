"""Key-patches for demonstrations that were recorded without any."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from glue_perception.pipeline import PerceptionPipeline
from glue_policy.data.interchange.record import KEY_PATCH_FIELDS, KeyPatchArrays, Record


def with_key_patches(record: Record, pipeline: PerceptionPipeline) -> Record:
    """Return the record with the key-patches that a pipeline finds in its first image and tracks through the others.

    The images are a step apart, so points move further between them than on a robot that sees every frame.

    Raises:
        QueryError: the first image does not show the task's objects.
    """
    patches = []
    for number, frame in enumerate(record.frames()):
        if number == 0:
            pipeline.start(frame)
            patches.append(pipeline.key_patches)
        else:
            patches.append(pipeline.update(frame))
    columns = {name: np.stack([getattr(p, name) for p in patches]) for name in KEY_PATCH_FIELDS}
    return replace(record, key_patches=KeyPatchArrays(**columns))
