"""Sheets of frames for people: the preview of an edit, each instance in its colour and named with what it becomes;
and an edit below its source.

The preview is made before anything is generated, so that a wrong mask or a wrong binding is seen first. Instances that
no edit is about are outlined only; below the frames stands one line per edit.
"""

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from schemas.edit import Action, Bound
from schemas.tracks import InstanceTrack
from schemas.video import Image, Mask
from stages import masks
from stages.edit_selectors import print_selector

TILE_SHORT_SIDE_PX = 320
MAX_COLUMNS = 3
_GAP_PX = 6
_LINE_PX = 24
_FONT, _SCALE = cv2.FONT_HERSHEY_SIMPLEX, 0.5
_TINT = 0.45
_PAPER, _INK, _UNBOUND = (24, 24, 24), (235, 235, 235), (255, 255, 255)
_COLORS = ((255, 170, 0), (0, 190, 255), (255, 70, 200), (120, 220, 60), (255, 90, 60), (150, 110, 255), (0, 200, 160))


@dataclass(frozen=True, slots=True)
class _Label:
    text: str
    color: tuple[int, int, int]
    is_bound: bool
    is_whole: bool  # the mask itself changes; else something is added to it


def contact_sheet(pictures: Mapping[int, Image], tracks: Sequence[InstanceTrack], bounds: Sequence[Bound]) -> Image:
    """RGB sheet of all `pictures`, in time order. pictures: by frame number, upright, all of one size.

    Raises ValueError when there is no picture, or one of a frame that the tracks do not have.
    """
    if not pictures:
        raise ValueError("a contact sheet needs a picture")
    if any(at >= len(track.masks) for at in pictures for track in tracks):
        raise ValueError("a picture of a frame that the tracks do not have")
    labels = _labels(tracks, bounds)
    background = next((bound.edit.target for bound in bounds if bound.edit.action is Action.BACKGROUND), "")
    tiles = [_tile(pictures[at], at, tracks, labels, bool(background)) for at in sorted(pictures)]
    columns = min(len(tiles), MAX_COLUMNS)
    rows = [_side_by_side(tiles[at : at + columns], columns) for at in range(0, len(tiles), columns)]
    sheet = np.concatenate([part for row in rows for part in (row, _paper(_GAP_PX, row.shape[1]))])
    return np.concatenate([sheet, _legend(tracks, bounds, labels, sheet.shape[1])])


def before_and_after(before: Sequence[Image], after: Sequence[Image]) -> Image:
    """RGB sheet: the source's frames side by side, and under each what became of it. All of one size.

    Raises ValueError when there is none, or not as many of either.
    """
    if not before or len(before) != len(after):
        raise ValueError(f"{len(before)} frames before, {len(after)} after")
    return np.concatenate([_side_by_side([_scaled(image) for image in row], len(row)) for row in (before, after)])


def _labels(tracks: Sequence[InstanceTrack], bounds: Sequence[Bound]) -> list[_Label]:
    labels = []
    for at, track in enumerate(tracks):
        mine = [(number, bound.edit) for number, bound in enumerate(bounds) if at in bound.instances]
        if not mine:
            labels.append(_Label(track.name, _UNBOUND, False, False))
            continue
        number, _ = mine[0]
        becomes = ", ".join(_becomes(edit.action, edit.target) for _, edit in mine)
        whole = any(edit.action is not Action.ADD for _, edit in mine)
        labels.append(_Label(f"{track.name} {becomes}", _COLORS[number % len(_COLORS)], True, whole))
    return labels


def _becomes(action: Action, target: str) -> str:
    return {Action.REMOVE: "is removed", Action.ADD: f"+ {target}"}.get(action, f"-> {target}")


def _tile(
    picture: Image, at: int, tracks: Sequence[InstanceTrack], labels: Sequence[_Label], has_background: bool
) -> Image:
    """One frame, scaled, drawn over."""
    tile = _scaled(picture)
    height, width = tile.shape[:2]
    shown = [masks.resize(track.masks[at], height, width) for track in tracks]
    if has_background:
        tile = _hatched(tile, ~np.any([np.zeros((height, width), np.bool_), *shown], axis=0))
    for mask, label in zip(shown, labels, strict=True):
        if label.is_bound and label.is_whole:
            tile[mask] = np.round((1 - _TINT) * tile[mask] + _TINT * np.array(label.color)).astype(np.uint8)
        outline, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(tile, outline, -1, label.color, 2 if label.is_bound else 1, cv2.LINE_AA)
    _write_labels(tile, shown, labels)
    _write(tile, f"frame {at}", (4, 4), _INK)
    return tile


def _scaled(picture: Image) -> Image:
    """A copy with a short side of TILE_SHORT_SIDE_PX."""
    scale = TILE_SHORT_SIDE_PX / min(picture.shape[:2])
    size = (max(round(picture.shape[1] * scale), 1), max(round(picture.shape[0] * scale), 1))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR))


def _hatched(tile: Image, region: Mask) -> Image:
    """The region darkened by diagonal stripes: it will be replaced."""
    rows, columns = np.indices(region.shape)
    stripes = region & ((rows + columns) % 12 < 4)
    return np.asarray(np.where(stripes[..., None], tile // 2, tile), np.uint8)


def _write_labels(tile: Image, shown: Sequence[Mask], labels: Sequence[_Label]) -> None:
    """Each label above its instance, moved down where it would cover another label."""
    height, width = tile.shape[:2]
    taken = [(0, 0, 90, _LINE_PX)]  # the frame number
    for mask, label in sorted(zip(shown, labels, strict=True), key=lambda pair: not pair[1].is_bound):
        if (box := masks.box_of(mask)) is None:
            continue
        text = _fitted(label.text, width - 8)
        wide = _width(text) + 6
        x = int(min(max((box[0] + box[2] - wide) / 2, 2), max(width - wide - 2, 2)))
        y = int(max(box[1] - _LINE_PX, 2))
        while any(x < x1 and x0 < x + wide and y < y1 and y0 < y + _LINE_PX for x0, y0, x1, y1 in taken):
            y += 4
        y = min(y, height - _LINE_PX)
        taken.append((x, y, x + wide, y + _LINE_PX))
        _write(tile, text, (x, y), label.color)


def _legend(tracks: Sequence[InstanceTrack], bounds: Sequence[Bound], labels: Sequence[_Label], width: int) -> Image:
    """One line per edit and its instances, and one for what stays as it is."""
    lines = []
    for number, bound in enumerate(bounds):
        names = ", ".join(tracks[at].name for at in bound.instances)
        which = "the background" if bound.edit.action is Action.BACKGROUND else f"{print_selector(bound.edit.selector)}"
        about = f" ({names})" if names else ""
        lines.append(
            (f"{which}{about} {_becomes(bound.edit.action, bound.edit.target)}", _COLORS[number % len(_COLORS)])
        )
    kept = [label.text for label in labels if not label.is_bound]
    if kept:
        lines.append((f"stays: {', '.join(kept)}", _UNBOUND))
    paper = _paper(_LINE_PX * len(lines) + 4, width)
    for number, (text, color) in enumerate(lines):
        _write(paper, _fitted(text, width - 12), (4, 2 + number * _LINE_PX), color)
    return paper


def _write(image: Image, text: str, at: tuple[int, int], color: tuple[int, int, int]) -> None:
    """Text on a dark ground; `at`: its top left corner."""
    x, y = at
    image[y : y + _LINE_PX - 2, x : x + _width(text) + 6] //= 3
    cv2.putText(image, text, (x + 3, y + _LINE_PX - 8), _FONT, _SCALE, color, 1, cv2.LINE_AA)


def _fitted(text: str, width_px: int) -> str:
    """The text in signs that can be drawn, cut to a width."""
    drawn = _drawable(text)
    if _width(drawn) <= width_px:
        return drawn
    while drawn and _width(f"{drawn}...") > width_px:
        drawn = drawn[:-1]
    return f"{drawn}..."


def _drawable(text: str) -> str:
    """ASCII, which is all that OpenCV's fonts have: é as e, what has no such form by its code, U+718A."""
    plain = "".join(sign for sign in unicodedata.normalize("NFKD", text) if not unicodedata.combining(sign))
    return "".join(sign if " " <= sign <= "~" else f"<U+{ord(sign):04X}>" for sign in plain)


def _width(text: str) -> int:
    return int(cv2.getTextSize(text, _FONT, _SCALE, 1)[0][0])


def _side_by_side(tiles: Sequence[Image], columns: int) -> Image:
    """A row as wide as `columns` tiles."""
    height, width = tiles[0].shape[:2]
    empty = [_paper(height, width)] * (columns - len(tiles))
    parts = [part for tile in [*tiles, *empty] for part in (_paper(height, _GAP_PX), tile)]
    return np.concatenate(parts[1:], axis=1)


def _paper(height_px: int, width_px: int) -> Image:
    return np.full((height_px, width_px, 3), _PAPER, np.uint8)
