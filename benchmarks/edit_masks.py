"""Masks of `recast edit` against the truth: the last chapter of docs/quality.md.

    python benchmarks/edit_masks.py VIDEOS [--only tracks contested noise] [--out DIR] [--write docs/quality.md]

VIDEOS: the annotated footage (index.json, clips/, masks/). Prints Markdown; --write puts it between the markers of a
page. Exit 1 when a bar is missed.
"""

import argparse
import importlib
import json
import sys
import tempfile
import time
from pathlib import Path

import cv2
from sections import Section, between_markers

PARTS = ("tracks", "contested", "noise")


def run(parts: list[str], videos: Path, work: Path) -> dict[str, Section]:
    sections = {}
    for part in parts:
        began = time.perf_counter()
        sections[part] = importlib.import_module(f"edit_masks_{part}").measure(videos, work)
        print(f"{part}: {time.perf_counter() - began:.0f} s", file=sys.stderr)
    return sections


def markdown(part: str, section: Section) -> str:
    command = f"`python benchmarks/edit_masks.py FOOTAGE --only {part}`"
    bars = "\n".join(f"- {'met' if met else '**missed**'}: {bar}" for bar, met in section.bars.items())
    return "\n\n".join(block for block in (f"## {section.title}", command, section.markdown, bars) if block)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("videos", type=Path)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--out", type=Path, help="keep what is made and edit_masks.json; default: a temporary folder")
    parser.add_argument("--write", type=Path, help="the page to write into")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory(prefix="recast-edit-masks-") as scratch:
        out = (arguments.out or Path(scratch)).resolve()
        out.mkdir(parents=True, exist_ok=True)
        sections = run(arguments.only, arguments.videos.resolve(), out)
        figures = {part: {"figures": each.figures, "bars": each.bars} for part, each in sections.items()}
        (out / "edit_masks.json").write_text(json.dumps(figures, indent=1) + "\n")
    for part, section in sections.items():
        text = markdown(part, section)
        print(text + "\n")
        if arguments.write:
            page = arguments.write.read_text("utf-8")
            arguments.write.write_text(between_markers(page, f"edit masks: {part}", text), "utf-8")
    return 0 if all(met for section in sections.values() for met in section.bars.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
