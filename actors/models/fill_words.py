"""What inpainting models are told. Two kinds: some are told what the picture shows, others what to do to it.

Wordings are positive (a deserted place, not "no people"): what is named is drawn, and distilled models take no negative
prompt. Higher rungs ask for less: a plainer place holds no second subject and reminds of no other background.
"""

import numpy as np

from schemas.fill import Fill, FillRequest

PLACES = (
    (
        "a sandy beach under a cloudy sky",
        "a gravel path in a park",
        "a mown meadow with distant trees",
        "a cobbled square in the morning",
        "a wooden pier over a calm lake",
        "a mountain pasture with far hills",
        "a city pavement beside a brick wall",
        "a snowy field at noon",
        "a forest clearing in dappled light",
        "a sunlit living room with a wooden floor",
        "a concrete courtyard in the shade",
        "a vineyard slope in late summer",
        "a dry riverbed with pale stones",
        "a tiled terrace with potted shrubs",
        "an old workshop with whitewashed walls",
        "a country road along a stubble field",
    ),
    (
        "a plain lawn",
        "a smooth sandy ground",
        "an open concrete floor before a bare wall",
        "a wooden floor before a light wall",
        "an even snow-covered ground",
        "a gravel ground before a hedge",
    ),
    (
        "a seamless light grey studio backdrop",
        "a seamless beige studio backdrop",
        "a softly blurred green backdrop",
        "a softly blurred blue-grey backdrop",
    ),
)
"""Per rung. Drawn by the request's seed: left alone, a model gives a category the same place every time."""

OTHERWISE = ("", " of another colour", " of another colour, age and kind")  # per rung
LAST_RUNG = 2


def description(request: FillRequest) -> str:
    """What the finished picture shows, for models trained on captions."""
    if request.fill is Fill.OUTPAINT:
        return f"{request.prompt}. It is alone in a deserted place: {place(request)}, every surface bare of writing."
    if request.fill is Fill.REPLACE:
        return f"{request.prompt}: one whole {request.category}{_otherwise(request)}, all of it in view."
    return f"{request.prompt}. Empty background, nothing there, the surroundings go on without a break."


def instruction(request: FillRequest) -> str:
    """What to do to the picture, whose region is grey, for models trained on edits."""
    if request.fill is Fill.OUTPAINT:
        return (
            f"Fill the grey area with a deserted place around the {request.category}: {place(request)}, every surface "
            f"bare of writing. The {request.category} keeps its size, pose and outline, lit like the place, with a "
            f"soft shadow where it touches the ground. The result is {request.prompt}."
        )
    if request.fill is Fill.REPLACE:
        return (
            f"Fill the grey area with {request.prompt}: one whole {request.category}{_otherwise(request)}, all of it "
            "inside the area, in the light and perspective of the picture. Everything else stays as it is."
        )
    return (
        f"Fill the grey area with {request.prompt}: the surroundings go on through it without a break, in the same "
        "light. It is empty, nothing stands there. Everything else stays as it is."
    )


def negative(request: FillRequest) -> str:
    """What must not be drawn, for models that take it."""
    always = "text, logo, watermark, frame, collage, grey area, blurry, deformed, low quality"
    if request.fill is Fill.OUTPAINT:
        return f"people, animals, a second {request.category}, parts added to the {request.category}, {always}"
    if request.fill is Fill.REPLACE:
        return f"empty place, two of them, cut off, {always}"
    return f"{request.category}, people, animals, objects, silhouette, shadow of something unseen, {always}"


def place(request: FillRequest) -> str:
    """The background asked for: a function of seed and rung."""
    choices = PLACES[rung(request)]
    return choices[int(np.random.default_rng(request.seed).integers(len(choices)))]


def rung(request: FillRequest) -> int:
    return min(request.rung, LAST_RUNG)


def _otherwise(request: FillRequest) -> str:
    return OTHERWISE[rung(request)]
