"""The scripts of the demo clips: who moves how, in front of what."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Pose:
    """Where a cut-out is. x, y: of its anchor, as a share of the frame; height: its own, as a share of the frame's."""

    x: float
    y: float
    height: float
    degrees: float = 0.0
    turn: float = 0.0  # -1..1, about the vertical axis
    lean: float = 0.0  # the top's offset as a share of its height
    light: float = 0.0  # -1..1, from which side it comes


@dataclass(frozen=True)
class Actor:
    subject: str
    start: Pose
    end: Pose
    shadow: bool = False


@dataclass(frozen=True)
class DemoShot:
    """pan: x, y (0..1 of the free play) and zoom (1 = as far out as the photograph allows), at start and end."""

    seconds: float
    background: str
    pan: tuple[tuple[float, float, float], tuple[float, float, float]]
    actors: list[Actor] = field(default_factory=list)  # back to front
    bank: bool = False  # pebbles before everything, along the lower edge


@dataclass(frozen=True)
class DemoClip:
    name: str
    shots: list[DemoShot]
    size: tuple[int, int] = (640, 360)
    rigid: bool = False  # the subject only moves as a picture would: every pair of it is copy and paste


CLIPS = [
    DemoClip(
        "astronaut_stars",
        [
            DemoShot(
                4.0,
                "stars",
                ((0.05, 0.3, 1.25), (0.75, 0.5, 1.25)),
                [
                    Actor(
                        "astronaut",
                        Pose(0.30, 1.04, 0.80, -5, -0.8, -0.10, -0.7),
                        Pose(0.66, 1.10, 1.06, 6, 0.8, 0.12, 0.7),
                    )
                ],
                bank=True,
            )
        ],
    ),
    DemoClip(
        "motorcycle_wall",
        [
            DemoShot(
                4.0,
                "wall",
                ((0.0, 0.9, 1.35), (0.9, 1.0, 1.35)),
                [
                    Actor(
                        "motorcycle",
                        Pose(0.30, 0.84, 0.46, 2, -0.9, 0, -0.6),
                        Pose(0.66, 0.95, 0.64, -3, 0.6, 0, 0.5),
                        shadow=True,
                    )
                ],
            )
        ],
    ),
    DemoClip(
        "cup_meadow",
        [
            DemoShot(
                4.0,
                "meadow",
                ((0.1, 0.2, 1.5), (0.9, 0.7, 1.2)),
                [
                    Actor(
                        "cup",
                        Pose(0.28, 0.40, 0.48, -25, -0.7, 0.1, 0.8),
                        Pose(0.70, 0.58, 0.66, 30, 0.7, -0.1, -0.8),
                        shadow=True,
                    )
                ],
            )
        ],
    ),
    DemoClip(
        "launch_two_subjects",
        [
            DemoShot(
                5.0,
                "launch",
                ((0.45, 1.0, 1.3), (0.55, 0.9, 1.3)),
                [
                    Actor(
                        "cup", Pose(0.62, 0.44, 0.40, 35, 0.8, 0.1, -0.9), Pose(0.82, 0.52, 0.58, -40, -0.8, -0.1, 0.9)
                    ),
                    Actor(
                        "astronaut",
                        Pose(0.32, 1.04, 0.62, 12, 1.0, 0.25, 1.0),
                        Pose(0.18, 1.10, 0.84, -14, -1.0, -0.25, -1.0),
                    ),
                ],
                bank=True,
            )
        ],
    ),
    DemoClip(
        "montage",
        [
            DemoShot(
                1.5,
                "launch",
                ((0.8, 0.7, 1.3), (0.3, 0.9, 1.3)),
                [Actor("astronaut", Pose(0.66, 1.06, 0.84, 4, 0.7, 0.1, 0.6), Pose(0.50, 1.10, 0.98, -3, 0.1, 0, 0.2))],
                bank=True,
            ),
            DemoShot(
                1.25,
                "pebbles",
                ((0.30, 0.30, 1.4), (0.42, 0.36, 1.4)),
                [
                    Actor(
                        "cup",
                        Pose(0.66, 0.42, 0.60, 10, 0.6, 0, -0.6),
                        Pose(0.40, 0.58, 0.50, -22, -0.5, 0, 0.6),
                        shadow=True,
                    )
                ],
            ),
            DemoShot(
                1.5,
                "wall",
                ((0.5, 0.1, 1.3), (0.3, 0.2, 1.3)),
                [
                    Actor(
                        "astronaut",
                        Pose(0.36, 1.12, 1.00, -4, -0.7, -0.1, -0.6),
                        Pose(0.56, 1.06, 0.86, 3, -0.1, 0.05, -0.1),
                    )
                ],
                bank=True,
            ),
            DemoShot(1.25, "cat", ((0.2, 0.2, 1.2), (0.6, 0.5, 1.4))),
        ],
    ),
    DemoClip(
        "planet_square",
        [
            DemoShot(
                3.0,
                "stars",
                ((0.9, 0.7, 1.3), (0.4, 0.3, 1.3)),
                [Actor("planet", Pose(0.36, 0.62, 0.40, 0, 0, 0, 0.7), Pose(0.62, 0.42, 0.56, 50, 0, 0, 0.7))],
            )
        ],
        size=(480, 480),
        rigid=True,
    ),
]
