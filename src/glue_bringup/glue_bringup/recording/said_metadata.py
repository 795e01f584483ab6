"""What a person says of the episodes of a session; every bag of it holds this."""

from __future__ import annotations

import hashlib
from pathlib import Path

from glue_perception.errors import ConfigError

MAX_CALIBRATION_BYTES = 1 << 18


def said_metadata(operator: str, notes: str, calibration: Path | None) -> dict[str, str]:
    """Return `operator`, `scene_notes`, `calibration` and `calibration_sha256`; what is empty is left out.

    Args:
        operator: Who demonstrates.
        notes: About the scene.
        calibration: A YAML file whose text is kept.

    Raises:
        ConfigError: the calibration cannot be read or is too large to be one.
    """
    said = {"operator": operator, "scene_notes": notes}
    if calibration is not None:
        try:
            if calibration.stat().st_size > MAX_CALIBRATION_BYTES:
                raise ConfigError(f"{calibration} is larger than a calibration's YAML; give that file")
            text = calibration.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"cannot read the calibration {calibration}: {error}") from error
        said["calibration"] = text
        said["calibration_sha256"] = hashlib.sha256(text.encode()).hexdigest()
    return {key: value for key, value in said.items() if value}
