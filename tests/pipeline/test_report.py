import base64
import html.parser
import json
import re
import shutil
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest

from pipeline import report_gallery, report_markup
from pipeline.ledger import Ledger
from pipeline.report import render, write_report
from pipeline.writer import ShardWriter
from schemas.config import EngineConfig
from schemas.errors import UserError
from schemas.sample import Base, Captions, Draft, Reference, Task
from schemas.work import Outcome, Phase, Result, Unit
from stages import samples

HOSTILE = "/videos/<script>alert(1)</script>\u202e\x07 & \"gpj.'mp4"
VOID = {"meta", "img", "br", "hr", "link", "input"}


class Page(html.parser.HTMLParser):
    """What a browser would see: tags, attributes, and whether every element is closed in order."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.attributes, self.words = [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += attributes
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return re.sub(r"\s+", " ", " ".join(self.words))


def scenery(height, width, hue):
    rows, columns = np.mgrid[:height, :width]
    waves = 40 * np.sin(columns / 17 + hue) + 30 * np.cos(rows / 11)
    picture = np.stack([90 + hue * 20 + waves, 120 + waves / 2, 200 - hue * 20 - waves], axis=-1)
    return np.clip(picture, 0, 255).astype(np.uint8)


def disc(height, width, row, column, radius):
    rows, columns = np.mgrid[:height, :width]
    return (rows - row) ** 2 + (columns - column) ** 2 <= radius**2


def drafted(key, task, attempt=0):
    num = 2 if task.value.startswith("multi") else 1
    height, width = 360, 640
    output = scenery(height, width, 2)
    output_masks = [disc(height, width, 190, 180 + 260 * number, 90) for number in range(num)]
    references = []
    for number in range(num):
        image, mask = scenery(480, 480, 4 + number), disc(480, 480, 240, 240, 130)
        image[mask], output[output_masks[number]] = (220, 60 + 120 * number, 40), (220, 60 + 120 * number, 40)
        identity = np.eye(3).tolist()
        references.append(Reference(image, mask, image, mask, identity, f"{number}", "cat <b>", "donor"))
    base = None
    if task.mode == "manipulation":
        emptied = output.copy()
        emptied[100:280, 90:270] = scenery(180, 180, 1)
        base = Base(emptied, (90, 100, 270, 280), "replace", "dog", "donor")
    return Draft(key, task, attempt, 7, 0, output, output_masks, references, base, output_masks)


WORDS = Captions(
    short={"en": "a cat & a <i>bowl</i>", "zh": "一只猫"},
    long={"en": "a cat beside a bowl on a table", "zh": "桌上有一只猫和一个碗"},
    instruction={"en": "Place the cat of image 1 on the table.", "zh": "把图1中的猫放到桌子上。"},
)


@pytest.fixture
def ledger(tmp_path):
    ledger = Ledger(tmp_path / "out", EngineConfig(), "run-1")
    yield ledger
    ledger.abandon()


@pytest.fixture(scope="module")
def page_of_one_task(tmp_path_factory):
    return filled_page(tmp_path_factory.mktemp("one"), [Task.SINGLE_GENERATION], per_task=2)


@pytest.fixture(scope="module")
def page_of_all_tasks(tmp_path_factory):
    return filled_page(tmp_path_factory.mktemp("all"), list(Task), per_task=1)


def filled_page(out, tasks, per_task):
    ledger = Ledger(out, EngineConfig(), "run-1")
    fill(ledger, tasks, per_task)
    ledger.close("finished", {"seconds": {"curate": 2.0, "total": 9.5}})
    return render(out)


def fill(ledger, tasks, per_task=2):
    """A small output: a readable, a broken and a hostile source, clips, pairs, samples, a retry and a dead letter."""
    ledger.put({
        "sources": [
            {"key": "s1", "uri": "/videos/good.mp4", "content_hash": "h1", "width": 640, "height": 360, "fps": 25.0,
             "duration_seconds": 4.0, "codec": "h264"},
            {"key": "s2", "uri": "/videos/empty.mp4", "status": "rejected", "reason": "empty_file", "message": "none"},
            {"key": "s3", "uri": HOSTILE, "status": "rejected", "reason": "unreadable", "message": "<img src=x>"},
        ],
        "clips": [
            {"key": "c1", "content_hash": "h1", "source_uri": "/videos/good.mp4"},
            {"key": "c2", "content_hash": "h1", "source_uri": "/videos/good.mp4", "status": "rejected",
             "reason": "blurred", "decision": "d"},
            {"key": "c3", "content_hash": "h1", "source_uri": "/videos/good.mp4", "status": "rejected"},
        ],
        "pairs": [{"key": f"p{number}", "clip_key": "c1", "content_hash": "h1"} for number in range(per_task)],
    })  # fmt: skip
    results = []
    writer = ShardWriter(ledger.out, "writer-0", EngineConfig(), ledger.epoch, results.extend)
    units = [Unit(Phase.SYNTHESIZE, f"p{number}", task) for task in tasks for number in range(per_task)]
    dead = Unit(Phase.SYNTHESIZE, "p0", "a_task_of_the_future")
    ledger.open_phase(Phase.SYNTHESIZE, iter([[*units, dead]]), "f", max_attempts=2)
    while units_now := ledger.lease(Phase.SYNTHESIZE, 100):
        ledger.start(Phase.SYNTHESIZE, [(unit.id, unit.attempt) for unit in units_now])
        done = [sample_result(unit) for unit in units_now if unit.key != "p0" or unit.attempt]
        writer.put([result for result in done if result.members])
        writer.seal()
        ledger.deliver(results)
        results.clear()
        ledger.deliver(failed(unit) for unit in units_now if unit.task == dead.task or unit.key == "p0")
    ledger.flush()


def sample_result(unit):
    if unit.task == "a_task_of_the_future":
        return failed(unit)
    draft = drafted(f"{unit.key}{unit.task}", Task(unit.task), unit.attempt)
    members = samples.encode_members(draft, WORDS, {"provenance": {}})
    row = {"key": draft.key, "pair_key": unit.key, "content_hash": "h1", "source_uri": "/videos/good.mp4",
           "attempt": unit.attempt, "seed": 7, "verdict": {"identity": 0.913, "copy_ncc": 0.41},
           "caption_short": WORDS.short, "caption_long": WORDS.long, "instruction": WORDS.instruction}  # fmt: skip
    attempt = {"verdict": {"identity": 0.913, "copy_ncc": 0.41}, "rung": 0}
    seconds = {"draft": 1.5, "verify": 0.25}
    rows = {"samples": [row], "attempts": [attempt]}
    return Result(unit.phase, unit.key, unit.task, unit.attempt, rows=rows, members=members, seconds=seconds)


def failed(unit):
    attempt = {"verdict": {"identity": 0.2}, "reasons": ["identity_drift", "copy_paste"], "rung": unit.attempt}
    rows = {"attempts": [attempt]}
    result = Result(unit.phase, unit.key, unit.task, unit.attempt, Outcome.RETRY, rows=rows, message="<b>no</b>")
    result.seconds = {"draft": 0.5}
    return result


def pictures(text):
    found = [base64.b64decode(data) for data in re.findall(r'src="data:image/jpeg;base64,([^"]+)"', text)]
    return [cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) for data in found]


def section(text, name):
    return Page(re.search(f'<section id="{name}">(.*?)</section>', text, re.DOTALL)[1]).text


def test_a_folder_that_is_no_output_is_refused(tmp_path):
    with pytest.raises(UserError, match="no Recast output"):
        write_report(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_output_without_rows_gives_a_whole_page(ledger):
    page = Page(Path(write_report(ledger.out)).read_text("utf-8"))
    assert page.open == []
    assert "img" not in page.tags
    assert "Nothing was dropped" in page.text


def test_tables_that_are_not_there_yet_are_empty(ledger):
    fill(ledger, [Task.SINGLE_GENERATION])
    for name in ("attempts", "rejects", "settled", "pairs", "runs"):
        shutil.rmtree(ledger.out.path / "tables" / name)
    text = render(ledger.out)
    assert len(pictures(text)) == 4
    assert "pairs 0 0 –" in section(text, "funnel")
    shutil.rmtree(ledger.out.path / "tables")
    (ledger.out.path / "tables").mkdir()
    assert "samples 0 0 –" in section(render(ledger.out), "funnel")


def test_nothing_is_loaded_and_nothing_runs(page_of_all_tasks):
    page = Page(page_of_all_tasks)
    assert page.open == []
    assert not {"script", "link", "iframe", "object"} & set(page.tags)
    addresses = [value for name, value in page.attributes if name in ("src", "href")]
    assert addresses
    assert all(value.startswith(("data:image/jpeg;base64,", "#")) for value in addresses)
    assert not [name for name, _ in page.attributes if name.startswith("on")]


def test_hostile_names_are_shown_as_they_are(page_of_one_task):
    page_of_one_task.encode("utf-8")
    assert "\u202e" not in page_of_one_task
    assert "\x07" not in page_of_one_task
    sources = section(page_of_one_task, "sources")
    assert "<script>alert(1)</script>\\u202e\\u0007 & \"gpj.'mp4" in sources
    assert "<img src=x>" in sources
    assert "cat <b>" in section(page_of_one_task, "gallery")


@pytest.mark.parametrize("bad", ["\ud800name", "\udcff", "\x00", "\u2066x"])
def test_what_utf8_or_html_cannot_hold_is_spelled_out(bad):
    shown = report_markup.text(bad)
    assert shown.encode("utf-8").decode() == shown
    assert f"\\u{ord(bad[0]):04x}" in shown


def test_the_funnel_counts_what_is_there(ledger):
    fill(ledger, [Task.SINGLE_GENERATION, Task.MULTI_MANIPULATION], per_task=3)
    funnel = section(render(ledger.out), "funnel")
    assert "sources 3 1 33.3 % 1 (100 %) 2 rejected" in funnel
    assert "clips 3 1 33.3 % 1 (100 %) 1 not decided yet, 1 rejected" in funnel
    assert "pairs 3 3 100 % 3 (100 %)" in funnel
    assert "samples 6 6 100 %" in funnel
    assert "single generation 3 50 %" in funnel
    assert "synthesize 7 6 done, 1 exhausted" in funnel


def test_reasons_stand_with_their_sentence(page_of_one_task):
    reasons = section(page_of_one_task, "reasons")
    assert "the file is empty empty_file 1 50 %" in reasons
    assert "the picture is out of focus or motion-blurred blurred 1 100 %" in reasons
    assert "no longer looks like the source's identity_drift 3 50 %" in reasons
    assert report_markup.meaning("code_of_a_later_version") == " <code>code_of_a_later_version</code>"


def test_attempts_are_told_apart_from_dead_letters(page_of_one_task):
    attempts = section(page_of_one_task, "attempts")
    assert "attempt 1 3 1 33.3 % 2 0" in attempts
    assert "attempt 2 2 1 50 % 0 1" in attempts
    assert "a task of the future" in attempts
    assert "<b>no</b>" in attempts
    assert "identity 0.913 0.913 0.913 0.2 0.2 0.2" in attempts


def test_seconds_per_step_and_per_run(page_of_one_task):
    timings = section(page_of_one_task, "timings")
    assert "draft 5 4.5 0.9" in timings
    assert "verify 2 0.5 0.25" in timings
    assert re.search(r"run-1 finished 20.. ?-?.* UTC 9.5 curate 2.0", timings)


def test_every_task_is_shown_with_all_its_pictures(page_of_all_tasks):
    found = pictures(page_of_all_tasks)
    assert len(found) == 2 + 3 + 3 + 4
    assert all(max(picture.shape[:2]) == report_gallery.THUMBNAIL_PX for picture in found)
    gallery = section(page_of_all_tasks, "gallery")
    assert "base, replace dog" in gallery
    assert "把图1中的猫放到桌子上。" in gallery
    assert "a cat & a <i>bowl</i>" in gallery
    assert "identity 0.913" in gallery


def test_an_outline_lies_on_the_edge_of_its_mask():
    image, mask = np.full((300, 600, 3), 128, np.uint8), disc(300, 600, 150, 200, 100)
    plain, outlined = (
        cv2.imdecode(np.frombuffer(report_gallery.thumbnail(image, masks), np.uint8), cv2.IMREAD_COLOR).astype(int)
        for masks in ([], [(0, mask)])
    )
    changed = np.abs(outlined - plain).max(axis=-1) > 60
    scale = report_gallery.THUMBNAIL_PX / 600
    rows, columns = np.nonzero(changed)
    radii = np.hypot((rows + 0.5) / scale - 150, (columns + 0.5) / scale - 200)
    assert len(radii) > 2 * np.pi * 100 * scale
    assert np.abs(radii - 100).max() < 8


def test_only_the_first_samples_of_a_task_are_shown(ledger, monkeypatch):
    monkeypatch.setattr(report_gallery, "SAMPLES_PER_TASK", 2)
    fill(ledger, [Task.SINGLE_GENERATION], per_task=4)
    text = render(ledger.out)
    titles = re.findall(r'<p class="title"><b>(.*?)</b>', text)
    assert titles == ["p0single_gen", "p1single_gen"]


def test_pictures_stop_at_the_budget_for_all_tasks_alike(ledger, monkeypatch):
    fill(ledger, [Task.SINGLE_GENERATION, Task.MULTI_GENERATION])
    monkeypatch.setattr(report_gallery, "MAX_PICTURE_BYTES", 20_000)
    text = render(ledger.out)
    assert 0 < len(pictures(text)) < 10
    assert "left out to keep this file small" in section(text, "gallery")


def test_a_shard_that_is_gone_or_damaged_does_not_end_the_report(ledger):
    fill(ledger, [Task.SINGLE_GENERATION])
    first, second = sorted((ledger.out.path / "shards").glob("*.tar"))
    first.unlink()
    second.write_bytes(second.read_bytes()[:700])
    text = render(ledger.out)
    assert pictures(text) == []
    assert section(text, "gallery").count("cannot be shown") == 2


def test_settings_that_cannot_be_read_are_unknown(ledger):
    (ledger.out.path / "recast.json").write_text("{half", "utf-8")
    assert "unknown" in Page(render(ledger.out)).text
    settings = {"profile": "<u>mine", "models": {"vlm": {"model": "owner/name", "revision": "1"}}}
    (ledger.out.path / "recast.json").write_text(json.dumps(settings), "utf-8")
    assert "<u>mine" in Page(render(ledger.out)).text
    assert "vlm: owner/name" in Page(render(ledger.out)).text


def test_an_output_that_is_being_written_can_be_reported(ledger):
    failures = []

    def report():
        try:
            for _ in range(3):
                assert Page(Path(write_report(ledger.out)).read_text("utf-8")).open == []
        except Exception as error:
            failures.append(error)

    reader = threading.Thread(target=report)
    reader.start()
    fill(ledger, [Task.SINGLE_GENERATION], per_task=3)
    reader.join()
    assert failures == []
    assert "samples 3 3 100 %" in section(Path(write_report(ledger.out)).read_text("utf-8"), "funnel")
    assert [path.name for path in (ledger.out.path / "report").iterdir()] == ["index.html"]


@pytest.mark.parametrize(
    ("part", "whole", "shown"),
    [
        (0, 0, "–"),
        (0, 5, "0 %"),
        (5, 5, "100 %"),
        (1, 3, "33.3 %"),
        (1, 10**6, "< 0.1 %"),
        (10**6 - 1, 10**6, "> 99.9 %"),
    ],
)
def test_shares_never_round_to_all_or_nothing(part, whole, shown):
    assert report_markup.share(part, whole).replace("\u00a0", " ") == shown


@pytest.mark.parametrize(
    ("num_bytes", "shown"), [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (5 * 10**18, "5,000.0 PB")]
)
def test_sizes(num_bytes, shown):
    assert report_markup.size(num_bytes) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.0, "0"), (1e-9, "0"), (0.01234, "0.0123"), (-0.5, "-0.5"), (12.34, "12.3"), (1234.5, "1,234"), (np.nan, "nan")],
)
def test_numbers(value, shown):
    assert report_markup.text(value) == shown
