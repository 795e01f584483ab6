"""YAML files to frozen dataclasses and back. Unknown keys and wrong values are refused by name."""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from collections.abc import Iterable
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar

import yaml

from glue_perception.errors import ConfigError, InvalidValueError

T = TypeVar("T")


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the mapping in a YAML file, safe-loaded.

    Raises:
        ConfigError: the file is missing, is not YAML, or is not a mapping.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {path}: {error}") from error
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(data, dict):
        raise ConfigError(f"{path} must hold a mapping of keys to values, not {type(data).__name__}")
    return data


def load_config(cls: type[T], path: Path) -> T:
    """Return `cls` built from a YAML file.

    Raises:
        ConfigError: see `read_yaml` and `from_mapping`.
    """
    return from_mapping(cls, read_yaml(path), str(path))


def from_mapping(cls: type[T], data: dict[str, Any], source: str) -> T:
    """Return the dataclass `cls` built from a mapping, nested dataclasses included.

    Args:
        cls: A dataclass; its `__post_init__` may refuse impossible values with ConfigError or ValueError.
        data: Keys are field names.
        source: Where `data` comes from, for messages.

    Raises:
        ConfigError: an unknown or missing key, a value of the wrong type, or one that `cls` refuses.
    """
    if not isinstance(data, dict):
        raise ConfigError(f"{source}: expected a mapping for {cls.__name__}, found {data!r}")
    fields = {f.name: f for f in dataclasses.fields(cls) if f.init}  # type: ignore[arg-type]
    for key in data:
        if key not in fields:
            raise ConfigError(f"{source}: unknown key {key!r}.{suggest(str(key), fields)}")
    hints = typing.get_type_hints(cls)
    values = {key: _convert(hints[key], value, f"{source}: {key}") for key, value in data.items()}
    missing = [
        name
        for name, f in fields.items()
        if name not in values
        and f.default is dataclasses.MISSING
        and f.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise ConfigError(f"{source}: missing key {', '.join(repr(m) for m in missing)}")
    try:
        return cls(**values)
    except ConfigError as error:
        raise ConfigError(f"{source}: {error}") from error
    except (InvalidValueError, ValueError) as error:
        raise ConfigError(f"{source}: {error}") from error


def to_mapping(config: Any) -> dict[str, Any]:
    """Return a dataclass as plain YAML values, so that `from_mapping` gives it back."""
    return {f.name: _plain(getattr(config, f.name)) for f in dataclasses.fields(config) if f.init}


def suggest(word: str, known: Iterable[str]) -> str:
    """Return a sentence that names the nearest known word, or all of them."""
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=1)
    return f" Did you mean {close[0]!r}?" if close else f" Known: {', '.join(names)}."


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return to_mapping(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, (tuple, list)):
        return [_plain(v) for v in value]
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    return str(value) if isinstance(value, Path) else value


def _convert(hint: Any, value: Any, where: str) -> Any:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in args:
            return None
        return _convert(next(a for a in args if a is not type(None)), value, where)
    if dataclasses.is_dataclass(hint):
        return from_mapping(typing.cast("type[Any]", hint), value, where)
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            raise ConfigError(f"{where} must be a list, found {value!r}")
        if args and args[-1] is not Ellipsis:
            if len(args) != len(value):
                raise ConfigError(f"{where} must hold {len(args)} values, found {value!r}")
            return tuple(_convert(a, v, where) for a, v in zip(args, value, strict=True))
        return tuple(_convert(args[0], v, where) for v in value)
    if origin is dict:
        if not isinstance(value, dict):
            raise ConfigError(f"{where} must be a mapping, found {value!r}")
        return {_convert(args[0], k, where): _convert(args[1], v, where) for k, v in value.items()}
    if isinstance(hint, type) and issubclass(hint, Enum):
        try:
            return hint(value)
        except ValueError:
            raise ConfigError(
                f"{where}: unknown value {value!r}.{suggest(str(value), (m.value for m in hint))}"
            ) from None
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if hint is Path and isinstance(value, str):
        return Path(value)
    if isinstance(hint, type) and (
        not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool)
    ):
        raise ConfigError(f"{where} must be {hint.__name__}, found {value!r}")
    if isinstance(value, float) and value != value:
        raise ConfigError(f"{where} must be a number, found NaN")
    return value
