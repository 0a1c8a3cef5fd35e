"""The tables of docs/performance.md from the figures of benchmarks/models.py.

`python benchmarks/models_report.py figures.jsonl` prints Markdown: models, the verification question, bars. A
measurement that did not end is said to be missing; of one made twice the later counts.
"""

import json
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from actors.profiles import load_profile
from benchmarks.models import PROFILE, ROLES
from benchmarks.models_calls import UNIT
from benchmarks.sections import table

Figures = dict[str, dict[str, list[dict[str, Any]]]]

MIN_ACTOR_SHARE, MIN_STEP_SHARE = 0.95, 0.90


def read(path: Path) -> Figures:
    """measurement -> kind -> figures, in the order they were made; of a measurement made twice only the later ones."""
    found: Figures = defaultdict(lambda: defaultdict(list))
    ended: set[str] = set()
    for line in path.read_text("utf-8").splitlines():
        figure = json.loads(line)
        name = figure.pop("measurement")
        if name in ended:
            found.pop(name, None)
            ended.discard(name)
        kind = figure.pop("kind")
        found[name][kind].append(figure)
        if kind == "ended":
            ended.add(name)
    return found


def models(figures: Figures) -> str:
    rows = []
    for name in ROLES:
        role, own = load_profile(PROFILE).roles[name], figures.get(name, {})
        alone = _alone(name, own)
        actor = _last(own, "actor", "per_second")
        rows.append(
            [
                name,
                role.model,
                _last(own, "loaded", "seconds"),
                _peak(own, role.batch_size),
                UNIT[name],
                role.batch_size,
                _last(own, "forward", "per_second"),
                alone,
                actor,
                _percent(actor, alone),
            ]
        )
    head = ("role", "model", "load s", "peak GiB", "counted", "batch", "model only /s", "alone /s", "actor /s", "share")
    return table(head, rows)


def batches(figures: Figures) -> str:
    rows = [
        [name, figure["batch_size"], figure.get("steps"), figure["per_second"], figure["gib"]]
        for name in ROLES
        for figure in sorted(figures.get(name, {}).get("alone", []), key=lambda each: each["batch_size"])
    ]
    return table(("role", "batch", "steps", "alone /s", "GiB in use"), rows)


def verification(figures: Figures) -> str:
    raw, alone, rows = figures.get("vllm", {}), figures.get("vllm_alone", {}), []
    for size in sorted({figure["batch_size"] for figure in raw.get("raw_fixed", [])}):
        fixed, schema = (_best(raw, kind, size) for kind in ("raw_fixed", "raw_schema"))
        ours = _best(alone, "alone", size)
        rows.append([size, fixed, schema, ours, _percent(ours, schema)])
    plain = figures.get("transformers", {})
    more = [
        [
            each["batch_size"],
            fixed["per_second"],
            each["steps"],
            each["plain_per_second"],
            each["ours_per_second"],
            _percent(each["ours_per_second"], each["plain_per_second"]),
        ]
        for each, fixed in zip(plain.get("generate", []), plain.get("generate_fixed", []), strict=False)
    ]
    steps = [[each["callers"], each["per_second"]] for each in figures.get("vllm_actor", {}).get("actor", [])]
    heads = (
        ("questions at once", "vLLM, 96 tokens /s", "vLLM, schema /s", "VllmVlm /s", "share"),
        ("batch", "generate, 96 tokens /s", "steps of ours", "generate, as many /s", "TransformersVlm /s", "share"),
        ("callers", "questions through Ray /s"),
    )
    return "\n\n".join(table(head, body) for head, body in zip(heads, (rows, more, steps), strict=True))


def bars(figures: Figures) -> str:
    rows = []
    for name in ROLES:
        own = figures.get(name, {})
        share = _share(_last(own, "actor", "per_second"), _alone(name, own))
        rows.append(_bar(f"{name}: actor against alone", share, MIN_ACTOR_SHARE))
    raw = figures.get("vllm", {})
    schema = max(_all(raw, "raw_schema"), default=None)
    ours = max(_all(figures.get("vllm_alone", {}), "alone"), default=None)
    rows.append(_bar("VllmVlm against raw vLLM, best batches", _share(ours, schema), MIN_ACTOR_SHARE))
    through = max(_all(figures.get("vllm_actor", {}), "actor"), default=None)
    rows.append(_bar("verification through Ray against raw vLLM", _share(through, schema), MIN_STEP_SHARE))
    plain = figures.get("transformers", {}).get("generate", [])
    best = max(plain, key=lambda each: each["plain_per_second"], default=None)
    share = best and best["ours_per_second"] / best["plain_per_second"]
    rows.append(_bar("TransformersVlm against generate, at its best batch", share, MIN_ACTOR_SHARE))
    return table(("bar", "measured", "at least", "met"), rows)


def memory(figures: Figures) -> str:
    """What the profiles are to promise: of a process of its own, its context included."""
    rows = [
        [name, load_profile(PROFILE).roles[name].gpu_memory_gb, _peak(figures.get(name, {}), None)] for name in ROLES
    ]
    return table(("role", "profile GiB", "peak GiB"), rows)


def missing(figures: Figures) -> Sequence[str]:
    return [
        f"{name}: {own['ended'][-1]['how'] if 'ended' in own else 'cut off'}"
        for name, own in figures.items()
        if name != "machine" and own.get("ended", [{}])[-1].get("how") != "exit 0"
    ]


def _alone(name: str, own: dict[str, list[dict[str, Any]]]) -> float | None:
    return _last(own, "alone", "per_second")  # the profile's batch size, or the actor's steps, is measured last


def _last(own: dict[str, list[dict[str, Any]]], kind: str, field: str) -> float | None:
    return own[kind][-1].get(field) if own.get(kind) else None


def _best(own: dict[str, list[dict[str, Any]]], kind: str, size: int) -> float | None:
    return max((each["per_second"] for each in own.get(kind, []) if each["batch_size"] == size), default=None)


def _all(own: dict[str, list[dict[str, Any]]], kind: str) -> list[float]:
    return [each["per_second"] for each in own.get(kind, [])]


def _peak(own: dict[str, list[dict[str, Any]]], batch_size: int | None) -> float | None:
    """GiB at that batch size, or the most at any."""
    found = [each["gib"] for each in own.get("alone", []) if batch_size in {None, each["batch_size"]}]
    return max(found, default=None)


def _share(part: float | None, whole: float | None) -> float | None:
    return part / whole if part and whole else None


def _percent(part: float | None, whole: float | None) -> str | None:
    share = _share(part, whole)
    return None if share is None else f"{share:.0%}"


def _bar(name: str, share: float | None, least: float) -> list[object]:
    if share is None:
        return [name, None, f"{least:.0%}", "not measured"]
    return [name, f"{share:.1%}", f"{least:.0%}", "yes" if share >= least else "no"]


def main() -> None:
    figures = read(Path(sys.argv[1]))
    print(json.dumps(figures.get("machine", {}).get("machine", [{}])[-1]), end="\n\n")
    for part in (models, batches, verification, bars, memory):
        print(part(figures), end="\n\n")
    print("\n".join(["Missing:", *missing(figures)]) if missing(figures) else "Nothing is missing.")


if __name__ == "__main__":
    main()
