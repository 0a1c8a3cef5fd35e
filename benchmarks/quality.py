"""What comes out, against the truth: every figure of docs/quality.md.

    python benchmarks/quality.py VIDEOS [--only shots masks ...] [--out DIR]

VIDEOS: the annotated footage (index.json, clips/, shots/, masks/). Prints Markdown; with --out also writes quality.md,
quality.json and what the parts made on the way. Exit 1 when a bar is missed.
"""

import argparse
import importlib
import json
import sys
import tempfile
import time
from pathlib import Path

import cv2
from sections import Section

PARTS = ("shots", "masks", "pairs", "yield", "verification", "probe", "edit_generation")


def run(parts: list[str], videos: Path, work: Path) -> dict[str, Section]:
    sections = {}
    for part in parts:
        began = time.perf_counter()
        folder = work / part
        folder.mkdir(parents=True, exist_ok=True)
        module = part if part.startswith("edit_") else f"quality_{part}"
        sections[part] = importlib.import_module(module).measure(videos, folder)
        print(f"{part}: {time.perf_counter() - began:.0f} s", file=sys.stderr)
    return sections


def markdown(sections: dict[str, Section]) -> str:
    blocks = []
    for part, section in sections.items():
        command = f"`python benchmarks/quality.py FOOTAGE --only {part}`"
        bars = [f"- {'met' if met else '**missed**'}: {bar}" for bar, met in section.bars.items()]
        blocks.append("\n\n".join([f"## {section.title}", command, section.markdown, "\n".join(bars)]).rstrip())
    return "\n\n".join(blocks) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("videos", type=Path)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--out", type=Path, help="keep what is made; default: a temporary folder")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory(prefix="recast-quality-") as scratch:
        out = arguments.out or Path(scratch)
        sections = run(arguments.only, arguments.videos.resolve(), out.resolve())
        text = markdown(sections)
        if arguments.out:
            figures = {part: {"figures": each.figures, "bars": each.bars} for part, each in sections.items()}
            (out / "quality.json").write_text(json.dumps(figures, indent=1) + "\n")
            (out / "quality.md").write_text(text)
    print(text)
    return 0 if all(met for section in sections.values() for met in section.bars.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
