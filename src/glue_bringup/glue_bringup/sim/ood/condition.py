"""What is unlike training in an episode: a kind and its numbers, written as one word. Knows no simulator."""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import StrEnum

from glue_perception.config import suggest
from glue_perception.errors import ConfigError

MAX_DISTRACTORS = 20
MAX_HIDDEN_SHARE = 0.75
"""Beyond it too little of a small target is left for the first frame, in which the objects are found."""

DEFAULT_GRADE = 2
DEFAULT_FADE_IN_S = 0.5


class ConditionKind(StrEnum):
    """The paper's three generalisation settings (IV-C) and the training distribution itself."""

    IN_DOMAIN = "in_domain"
    CLUTTER = "clutter"
    OCCLUSION = "occlusion"
    LIGHT = "light"


@dataclass(frozen=True)
class Condition:
    """One condition. Layout, start pose and physics of a seed are the same in all of them.

    The paper grades nothing and gives no numbers; the grades here are chosen so that grade 2 looks like the
    authors' clips of that condition, grade 1 is half of it and grade 3 well beyond it.

    Attributes:
        kind: Which of the paper's settings.
        distractors: Clutter: how many objects stand around, 1..20.
        hidden_share: Occlusion: share of the target's pixels, and of the arm's, that a foreground object hides in
            the first frame, above 0 and up to 0.75.
        strength: Light: 0..1; how bright the spots are, how far the room light is dimmed and tinted.
        speed_rad_s: Light: how fast the lamp turns, above 0 and up to 6.
        fade_in_s: Light: how long the lamp takes to come up, 0..5. The objects are found in the first frame, and the
            embedded profile knows them by their colour alone: with 0 it takes red spots for red things and refuses.

    Raises:
        ConfigError: a number out of range, or one that belongs to another kind.
    """

    kind: ConditionKind = ConditionKind.IN_DOMAIN
    distractors: int = 0
    hidden_share: float = 0.0
    strength: float = 0.0
    speed_rad_s: float = 0.0
    fade_in_s: float = 0.0

    def __post_init__(self) -> None:
        for name, limits in _RANGES.items():
            value = getattr(self, name)
            if name not in _NUMBERS[self.kind]:
                if value:
                    raise ConfigError(f"condition {self.kind} has no {name}; {_numbers_of(self.kind)}")
            elif not limits[0] <= value <= limits[1]:
                raise ConfigError(
                    f"condition {self.kind}: {name} must lie in {limits[0]:g}..{limits[1]:g}, not {value:g}"
                )

    @property
    def grade(self) -> int | None:
        """1, 2 or 3 where the numbers are those of a grade, else None."""
        return next((g for g, c in _GRADES.get(self.kind, {}).items() if c == self), None)

    @property
    def name(self) -> str:
        """The shortest text from which `get_condition` makes this very condition."""
        if self.kind is ConditionKind.IN_DOMAIN:
            return str(self.kind)
        if self.grade is not None:
            return f"{self.kind}:{self.grade}"
        return f"{self.kind}:" + ",".join(f"{n}={getattr(self, n)!r}" for n in _NUMBERS[self.kind])

    def __str__(self) -> str:
        return self.name


_RANGES: dict[str, tuple[float, float]] = {
    "distractors": (1, MAX_DISTRACTORS),
    "hidden_share": (0.05, MAX_HIDDEN_SHARE),
    "strength": (0.05, 1.0),
    "speed_rad_s": (0.01, 6.0),
    "fade_in_s": (0.0, 5.0),
}
_NUMBERS: dict[ConditionKind, tuple[str, ...]] = {
    ConditionKind.IN_DOMAIN: (),
    ConditionKind.CLUTTER: ("distractors",),
    ConditionKind.OCCLUSION: ("hidden_share",),
    ConditionKind.LIGHT: ("strength", "speed_rad_s", "fade_in_s"),
}


def _numbers_of(kind: ConditionKind) -> str:
    names = _NUMBERS[kind]
    return f"its numbers are {', '.join(names)}" if names else "it has no numbers"


IN_DOMAIN = Condition()

_GRADES: dict[ConditionKind, dict[int, Condition]] = {
    ConditionKind.CLUTTER: {
        grade: Condition(ConditionKind.CLUTTER, distractors=count)
        for grade, count in ((1, 5), (2, 10), (3, 20))
    },
    ConditionKind.OCCLUSION: {
        grade: Condition(ConditionKind.OCCLUSION, hidden_share=share)
        for grade, share in ((1, 0.2), (2, 0.4), (3, 0.6))
    },
    ConditionKind.LIGHT: {
        grade: Condition(
            ConditionKind.LIGHT, strength=strength, speed_rad_s=speed, fade_in_s=DEFAULT_FADE_IN_S
        )
        for grade, strength, speed in ((1, 0.3, 0.4), (2, 0.6, 0.8), (3, 1.0, 1.6))
    },
}

CONDITIONS: tuple[str, ...] = (
    IN_DOMAIN.name,
    *(condition.name for grades in _GRADES.values() for condition in grades.values()),
)
"""Every named condition: in_domain and three grades of each kind."""


def get_condition(text: str) -> Condition:
    """Return the condition that `text` names.

    The grammar is KIND, KIND:GRADE or KIND:NUMBER=VALUE[,NUMBER=VALUE], e.g. `in_domain`, `clutter` (grade 2),
    `clutter:3`, `clutter:distractors=14`, `occlusion:hidden_share=0.5`, `light:strength=0.8,speed_rad_s=3`. Numbers
    that are left out are those of grade 2. `occlusion:0.5` is short for a hidden share: a grade has no point.

    Raises:
        ConfigError: an unknown kind, grade or number, or a value out of range; the message names the nearest.
    """
    word, separator, rest = text.strip().partition(":")
    kinds = [str(kind) for kind in ConditionKind]
    if word not in kinds:
        raise ConfigError(
            f"unknown condition {text!r}.{suggest(word, kinds)} Conditions are {', '.join(kinds)}, "
            "with a grade, e.g. clutter:2"
        )
    kind = ConditionKind(word)
    if kind is ConditionKind.IN_DOMAIN:
        if separator:
            raise ConfigError(f"condition in_domain has no grade, so {text!r} means nothing")
        return IN_DOMAIN
    if not separator:
        return _GRADES[kind][DEFAULT_GRADE]
    if rest.isdecimal():
        if int(rest) not in _GRADES[kind]:
            raise ConfigError(f"condition {text!r}: grades are 1, 2 and 3; {_numbers_of(kind)}")
        return _GRADES[kind][int(rest)]
    if kind is ConditionKind.OCCLUSION and "=" not in rest:
        rest = f"hidden_share={rest}"
    return _from_numbers(kind, rest, text)


def _from_numbers(kind: ConditionKind, rest: str, text: str) -> Condition:
    default = _GRADES[kind][DEFAULT_GRADE]
    numbers = {name: getattr(default, name) for name in _NUMBERS[kind]}
    types = {f.name: int if f.name == "distractors" else float for f in fields(Condition)}
    for part in rest.split(","):
        name, _, value = (piece.strip() for piece in part.partition("="))
        if name not in numbers:
            raise ConfigError(
                f"condition {text!r}: no number {name!r}.{suggest(name, numbers)} {_numbers_of(kind)}"
            )
        try:
            numbers[name] = types[name](value)
        except ValueError as error:
            raise ConfigError(f"condition {text!r}: {name} must be a number, not {value!r}") from error
    return Condition(kind, **numbers)
