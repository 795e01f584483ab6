"""Settings are checked when loaded, and the document's table lists exactly those that there are."""

import dataclasses
import re
from pathlib import Path

import pytest
import yaml

from glue_perception.cameras.realsense_config import PowerLineFrequency, RealSenseConfig
from glue_perception.cameras.statistics import CameraStatistics
from glue_perception.config import from_mapping, load_config, to_mapping
from glue_perception.errors import ConfigError

DOCUMENT = Path(__file__).parents[3] / "docs" / "cameras.md"


def test_from_yaml_and_back(tmp_path):
    path = tmp_path / "camera.yaml"
    path.write_text(
        "serial: '831612073525'\nrate_hz: 15\nexposure_us: 9000\ngain: 32\npower_line_frequency: 50hz\ndepth: true\n"
        "reconnect: {stall_timeout_s: 1.5}\n"
    )
    config = load_config(RealSenseConfig, path)
    assert config.serial == "831612073525"
    assert config.exposure_us == 9000.0
    assert config.power_line_frequency is PowerLineFrequency.HZ_50
    assert config.reconnect.stall_timeout_s == 1.5
    assert from_mapping(RealSenseConfig, to_mapping(config), "here") == config


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("width_px: 100", r"width_px must lie in 160\.\.4096 px, not 100"),
        ("height_px: 99999", r"height_px must lie in 120\.\.3072 px"),
        ("rate_hz: 0", r"rate_hz must lie in 1\.\.300 Hz, not 0"),
        ("exposure_us: 0", "or null for automatic exposure, not 0"),
        ("exposure_us: 40000", "at most one frame, 33333 us at 30 Hz, not 40000"),
        ("gain: 16", "gain needs a fixed exposure_us"),
        ("{exposure_us: 9000, gain: -1}", r"gain must lie in 0\.\.512 .*, not -1"),
        ("white_balance_k: 100", r"white_balance_k must lie in 2000\.\.10000 K, or null"),
        ("power_line_frequency: 55hz", "unknown value '55hz'. Did you mean '50hz'"),
        ("serial: 8316", "serial must be str, found 8316"),
        ("serial: ''", "serial must be letters and digits"),
        ("exposure: 3", "unknown key 'exposure'. Did you mean 'exposure_us'"),
        ("{rate_hz: 1, reconnect: {stall_timeout_s: 1.0}}", "at least two frames, 2 s at 1 Hz, not 1"),
        ("reconnect: {stall_timeout_s: 0}", r"stall_timeout_s must lie in 0\.1\.\.60 s, not 0"),
        ("reconnect: {first_wait_s: 9}", r"max_wait_s must be at least first_wait_s \(9 s\), not 5"),
        ("warm_up_frames: 1000", r"warm_up_frames must lie in 0\.\.300, not 1000"),
        ("depth: 1", "depth must be bool, found 1"),
    ],
)
def test_wrong_settings_are_refused_with_what_is_right(text, words):
    with pytest.raises(ConfigError, match=words):
        from_mapping(RealSenseConfig, yaml.safe_load(text), "camera.yaml")


def flat(mapping, prefix=""):
    for key, value in mapping.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def table(heading):
    """Rows of the first table after a heading of the document, as lists of cells."""
    rows = re.split(r"\n\n", DOCUMENT.read_text().split(heading)[1])
    lines = next(block for block in rows if block.lstrip().startswith("|")).strip().splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_the_document_lists_all_settings_with_their_defaults():
    written = {row[0].strip("`"): yaml.safe_load(row[1]) for row in table("## Settings")}
    assert written == dict(flat(to_mapping(RealSenseConfig())))


def test_the_document_lists_all_counts():
    written = [
        name for row in table("`camera.statistics` counts:") for name in re.findall(r"`(\w+)`", row[0])
    ]
    assert sorted(written) == sorted(field.name for field in dataclasses.fields(CameraStatistics))


def test_ranges_in_the_document_are_those_that_are_checked():
    for key, _, limits, _ in table("## Settings"):
        numbers = re.match(r"([\d.]+?)\.\.([\d.]+)", limits)
        if numbers is None:
            continue
        name = key.strip("`").split(".")[-1]
        low, high = (float(number) for number in numbers.groups())
        whole = isinstance(getattr(RealSenseConfig(), name, 0.0), int)
        for value in (int(low) - 1, int(high) + 1) if whole else (low - 0.001, high + 1.0):
            data = {name: value}
            section = {"reconnect": data} if "." in key else data
            with pytest.raises(ConfigError, match=rf"{name} must lie in {low:g}\.\.{re.escape(f'{high:g}')}"):
                from_mapping(RealSenseConfig, section, "camera.yaml")
