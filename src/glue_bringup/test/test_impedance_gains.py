import pytest

from glue_bringup.arm.impedance_gains import ImpedanceGains
from glue_perception.config import from_mapping, to_mapping
from glue_perception.errors import ConfigError


def test_gains_survive_a_file() -> None:
    gains = ImpedanceGains(translational_stiffness_n_m=700.0)
    assert from_mapping(ImpedanceGains, to_mapping(gains), "test") == gains


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"translational_stiffness_n_m": 0.0}, "translational_stiffness_n_m"),
        ({"rotational_error_clip": -0.1}, "rotational_error_clip"),
        ({"posture_stiffness_nm_rad": -1.0}, "posture_stiffness_nm_rad"),
        ({"max_torque_step_nm": 1.5}, "refuses more than 1 Nm"),
    ],
)
def test_impossible_gains_are_refused(values, said) -> None:
    with pytest.raises(ConfigError, match=said):
        ImpedanceGains(**values)
