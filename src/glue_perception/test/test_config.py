"""A wrong YAML file is refused with the offending value and the nearest valid key."""

from dataclasses import dataclass, field
from enum import Enum

import pytest

from glue_perception.config import from_mapping, load_config, to_mapping
from glue_perception.errors import ConfigError


class Mode(Enum):
    FAST = "fast"
    SAFE = "safe"


@dataclass(frozen=True)
class Inner:
    limit_m: float = 1.0

    def __post_init__(self) -> None:
        if self.limit_m <= 0:
            raise ValueError(f"limit_m must be positive, not {self.limit_m}")


@dataclass(frozen=True)
class Outer:
    name: str
    mode: Mode = Mode.SAFE
    size: tuple[int, int] = (1, 2)
    queries: tuple[str, ...] = ()
    seed: int | None = None
    inner: Inner = field(default_factory=Inner)


def test_round_trip() -> None:
    value = Outer("a", Mode.FAST, (3, 4), ("x",), 7, Inner(2.0))
    assert from_mapping(Outer, to_mapping(value), "test") == value


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({"name": "a", "mod": "fast"}, "unknown key 'mod'.*Did you mean 'mode'"),
        ({}, "missing key 'name'"),
        ({"name": 3}, "name must be str, found 3"),
        ({"name": "a", "mode": "fats"}, "Did you mean 'fast'"),
        ({"name": "a", "size": [1]}, "must hold 2 values"),
        ({"name": "a", "size": [1, "b"]}, "size must be int"),
        ({"name": "a", "seed": True}, "seed must be int, found True"),
        ({"name": "a", "inner": {"limit_m": -1}}, "inner: limit_m must be positive"),
        ({"name": "a", "inner": {"limit_m": float("nan")}}, "NaN"),
        ({"name": "a", "inner": 3}, "expected a mapping"),
        ({"name": "a", "queries": "red button"}, "must be a list"),
    ],
)
def test_refuses(data, says) -> None:
    with pytest.raises(ConfigError, match=says):
        from_mapping(Outer, data, "file.yaml")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: [", "not valid YAML"),
        ("- 1", "must hold a mapping"),
        ("!!python/object:os.system x", "not valid YAML"),
    ],
)
def test_bad_files(tmp_path, text, says) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=says):
        load_config(Outer, path)
    with pytest.raises(ConfigError, match="cannot read"):
        load_config(Outer, tmp_path / "missing.yaml")
