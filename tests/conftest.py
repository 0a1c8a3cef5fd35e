"""Fixtures every test may use."""

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


def footage_folder() -> Path | None:
    """The folder of annotated real clips: RECAST_FOOTAGE, or shared/videos beside the checkout."""
    for place in (os.environ.get("RECAST_FOOTAGE", ""), str(REPOSITORY.parent / "shared" / "videos")):
        if place and (Path(place) / "index.json").is_file():
            return Path(place)
    return None


@pytest.fixture(scope="session")
def footage() -> Path:
    folder = footage_folder()
    if folder is None:
        pytest.skip("no annotated footage: set RECAST_FOOTAGE to a folder with index.json, clips/, shots/, bad/, odd/, masks/")
    return folder
