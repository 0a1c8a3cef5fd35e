"""The report's pictures: inputs and output of some samples as small JPEGs, what belongs together in one colour."""

import base64
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from cluster.folder import Folder
from pipeline.report_markup import Html, joined, text
from pipeline.shards import ShardReader
from pipeline.tables import Snapshot
from schemas.sample import Task
from schemas.video import Image, Mask
from stages import masks, samples

SAMPLES_PER_TASK = 12
THUMBNAIL_PX = 320
JPEG_QUALITY = 80
MAX_PICTURE_BYTES = 13_000_000
"""Of base64 text in the page: pictures beyond it are left out, so that the file stays one that can be mailed."""

_COLOURS: tuple[tuple[int, int, int], ...] = ((255, 170, 0), (0, 190, 255), (255, 70, 200), (120, 220, 60))
_BOX_COLOUR = (255, 255, 255)
_LANGUAGES = {"en": "en", "zh": "zh-Hans"}
_WORDS = (("instruction", "instruction"), ("caption_short", "short"), ("caption_long", "long"))

_TASKS = [str(task) for task in Task]

_UNSHOWABLE = (OSError, KeyError, ValueError, tarfile.TarError, cv2.error)
"""A shard that is gone, or bytes that are damaged: `recast check` is the place that judges them."""


@dataclass(slots=True)
class _Budget:
    left: int


def gallery(tables: Snapshot) -> Html:
    """Up to SAMPLES_PER_TASK samples of each task, the first by key, which is as good as drawn at random."""
    rows = tables.query(
        f"""with first as (
                select task, unnest(min(key, {SAMPLES_PER_TASK})) as key from samples
                where status = 'ok' group by task),
            chosen as (select key, row_number() over (partition by task order by key) as rank from first)
            select s.* exclude (facts) from samples s join chosen using (key) order by rank, s.task"""
    ).to_pylist()
    budget = _Budget(MAX_PICTURE_BYTES)
    cards: dict[str, list[Html]] = {}
    for row in rows:  # a rank at a time: when the budget ends, every task has had its turns
        cards.setdefault(row["task"] or "", []).append(_card(tables.root, row, budget))
    return joined(
        Html("<h3>{task}</h3>{cards}").fill(task=task.replace("_", " "), cards=joined(cards[task]))
        for task in sorted(cards, key=lambda task: (_TASKS.index(task) if task in _TASKS else len(_TASKS), task))
    )


def _card(out: Folder, row: dict[str, Any], budget: _Budget) -> Html:
    title = Html('<b>{key}</b> attempt {attempt}, seed {seed}, from <span class="name">{uri}</span>').fill(
        key=str(row["key"])[:12], attempt=(row["attempt"] or 0) + 1, seed=str(row["seed"]), uri=row["source_uri"]
    )
    return joined([
        Html('<article><p class="title">{title}</p><div class="sides">').fill(title=title),
        _strip(out, row, budget),
        Html('<div class="words">{words}</div></div>').fill(words=_words(row)),
        Html('<p class="scores">{scores}</p></article>').fill(scores=_scores(row)),
    ])  # fmt: skip


def _strip(out: Folder, row: dict[str, Any], budget: _Budget) -> Html:
    if budget.left <= 0:
        return Html('<p class="none">Pictures left out to keep this file small.</p>')
    try:
        if not row["shard"] or not row["members"]:
            raise ValueError("the row names no shard")
        figures = joined(_figures(ShardReader(out).read_all(row["shard"], row["members"])))
    except _UNSHOWABLE as error:
        why = f"{type(error).__name__}: {error}"[:200]
        pattern = '<p class="none">Its pictures cannot be shown ({why}); recast check says more.</p>'
        return Html(pattern).fill(why=why)
    budget.left -= len(figures)
    return Html('<div class="strip">{figures}</div>').fill(figures=figures)


def _figures(members: dict[str, bytes]) -> Iterator[Html]:
    """Inputs, an arrow, the output. Reference i is the i-th input that is no base; the masks are numbered like it."""
    record, pictures, outlines = (
        samples.record_of(members),
        samples.decode_members(members),
        samples.decode_masks(members),
    )
    num_references = 0
    for index, role in enumerate(record["inputs"]):
        image = pictures[f"input_{index}"]
        if role["role"] == "reference":
            jpeg = thumbnail(image, [(num_references, outlines[f"mask_{num_references}"])])
            num_references += 1
        else:
            jpeg = thumbnail(image, [], role.get("box"))
        yield _figure(jpeg, _label(index, role))
    yield Html('<span class="arrow">→</span>')
    subjects = [(number, outlines[f"output_mask_{number}"]) for number in range(num_references)]
    yield _figure(thumbnail(pictures["output"], subjects), "output")


def _label(index: int, role: dict[str, Any]) -> str:
    if role["role"] == "base":
        return f"input {index + 1}: base, {role.get('operation', '')} {role.get('replacement', '')}".strip()
    return f"input {index + 1}: {role.get('category', role['role'])}"


def _figure(jpeg: bytes, label: str) -> Html:
    data = base64.b64encode(jpeg).decode("ascii")
    pattern = '<figure><img src="data:image/jpeg;base64,{data}" alt="{label}"><figcaption>{label}</figcaption></figure>'
    return Html(pattern).fill(data=data, label=label)


def thumbnail(image: Image, outlined: Sequence[tuple[int, Mask]], box: Sequence[int] | None = None) -> bytes:
    """A JPEG of at most THUMBNAIL_PX a side.

    outlined: (number of the colour, (H, W) mask of the full picture). box: x0, y0, x1, y1, pixels of the full picture.
    """
    height, width = image.shape[:2]
    scale = min(1.0, THUMBNAIL_PX / max(height, width))
    rows, columns = max(round(height * scale), 1), max(round(width * scale), 1)
    small = cv2.resize(image, (columns, rows), interpolation=cv2.INTER_AREA)
    for number, mask in outlined:
        outlines, _ = cv2.findContours(
            masks.resize(mask, rows, columns).astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE
        )
        for colour, thickness_px in (((0, 0, 0), 4), (_COLOURS[number % len(_COLOURS)], 2)):
            cv2.drawContours(small, outlines, -1, colour, thickness_px, cv2.LINE_AA)
    if box:
        corners = [round(side * scale) for side in box]
        for colour, thickness_px in (((0, 0, 0), 4), (_BOX_COLOUR, 2)):
            cv2.rectangle(small, corners[:2], [corners[2] - 1, corners[3] - 1], colour, thickness_px)
    _, data = cv2.imencode(".jpg", small[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return bytes(data)


def _words(row: dict[str, Any]) -> Html:
    """A column per language."""
    columns: dict[str, list[Html]] = {}
    for column, name in _WORDS:
        for language, words in sorted(dict(row[column] or []).items()):
            line = Html('<p class="{name}"><small lang="en">{name}</small> <span>{words}</span></p>')
            columns.setdefault(language, []).append(line.fill(name=name, words=words))
    return joined(
        Html('<div lang="{language}">{lines}</div>').fill(language=_LANGUAGES.get(name, name), lines=joined(lines))
        for name, lines in columns.items()
    )


def _scores(row: dict[str, Any]) -> Html:
    scores = sorted(dict(row["verdict"] or []).items())
    return joined(
        Html("<span>{name} <b>{score}</b></span> ").fill(name=name, score=text(score)) for name, score in scores
    )
