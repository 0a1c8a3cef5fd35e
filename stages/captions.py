"""Stage iv, captioning: what to ask a vlm about a sample, rules that answer from facts alone, the check of answers."""

import json
import re
from collections.abc import Sequence
from typing import Any

from schemas.config import CaptionConfig
from schemas.errors import BadInput
from schemas.keys import digest, seed_of
from schemas.questions import Answer, CaptionAnswer, Question, Unusable
from schemas.sample import Captions
from schemas.video import Image
from stages import instructions, words

PROMPT = """{inputs} the inputs that Output is made from.{base} Write the following, all three in {language}, style: \
{style}. Say only what the pictures show: no names of people, no brands, no guesses at feelings, places or what came \
before, and nothing about how a picture was made.
short: one sentence about Output on its own, at most 160 characters: each subject and where it is.
long: two to five sentences about Output on its own, at most 800 characters: what each subject is, looks like and \
does, where it is and how large, then the surroundings and the light. Neither short nor long speaks of inputs or of \
numbered images.
instruction: one sentence, at most 400 characters, that asks for Output, given the inputs. It {asks}. It names every \
input by its number, as {mention}, with the noun for what that input shows, names no other number and does not \
describe Output further. Say in it where {target}: left, right, centre, top or bottom, as seen in the picture.{example}
Measured, and more exact than your eye for places, sizes, colours and motion; boxes are [left, top, right, bottom] in \
pixels of Output, image 0 means that no input shows it, and "subject" stands for a noun that you should see: {facts}"""
_ASKS = {
    "": "asks for a new picture with each input's subject in it",
    "replace": "asks to replace the old thing in image 1 with the new one, and says what the old thing is",
    "add": "asks to add the new thing to image 1",
}
_MENTION = {"en": '"image 2"', "zh": '"图2"'}
_EXAMPLE = """
An instruction that is understood (keep its numbers and places, find better words): {text}"""
LANGUAGES = {"en": "English", "zh": "Chinese (简体中文)"}
_CHINESE = re.compile(r"[\u4e00-\u9fff]")


def caption_questions(draft_facts: dict[str, Any], config: CaptionConfig, images: list[Image]) -> list[Question]:
    """One question per language. images: the inputs in order, then the output. Needs the stored facts, no masks."""
    edit = draft_facts["edit"]
    names = [f"Image {number}" for number in range(1, len(draft_facts["references"]) + (2 if edit else 1))]
    shown = {
        name: draft_facts[name] for name in ("references", "subjects", "background", "edit", "operation", "replacement")
    }
    seed = seed_of(digest(shown), 0, "caption")
    return [
        Question(
            CaptionAnswer,
            PROMPT.format(
                inputs=_inputs(names),
                base=f" Image 1 is to be edited: {draft_facts['operation']}." if edit else "",
                language=LANGUAGES[language],
                style=config.style,
                asks=_ASKS[draft_facts["operation"]],
                mention=_MENTION[language],
                target="in image 1 the edit is" if edit else "each subject is to be",
                example=_example(draft_facts, language),
                facts=json.dumps(shown, sort_keys=True, ensure_ascii=False),
            ),
            images,
            {**draft_facts, "language": language},
            seed,
            [*names, "Output"] if images else [],
        )
        for language in config.languages
    ]


def _inputs(names: list[str]) -> str:
    return f"{names[0]} is" if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]} are"


def _example(draft_facts: dict[str, Any], language: str) -> str:
    """What the rules would say; "" when they find no words that single the place out."""
    try:
        return _EXAMPLE.format(text=instructions.word_instruction(draft_facts, language))
    except BadInput:
        return ""


def captions_from(answers: Sequence[Answer | Unusable], config: CaptionConfig) -> Captions | Unusable:
    """The answers to `caption_questions`, in their order; Unusable when one is, or is not in the language asked for."""
    short: dict[str, str] = {}
    long: dict[str, str] = {}
    instruction: dict[str, str] = {}
    for language, answer in zip(config.languages, answers, strict=True):
        if isinstance(answer, Unusable):
            return answer
        if not isinstance(answer, CaptionAnswer):
            return Unusable(f"asked for a caption, got {type(answer).__name__}")
        for texts, text in ((short, answer.short), (long, answer.long), (instruction, answer.instruction)):
            if not text.strip() or (language == "zh") != bool(_CHINESE.search(text)):
                return Unusable(f"a caption that is not in {LANGUAGES[language]}")
            texts[language] = text.strip()
    return Captions(short, long, instruction)


def word_captions(facts: dict[str, Any], language: str) -> CaptionAnswer:
    """Captions of measured statements only. Raises BadInput(WRONG_BINDING) as `word_instruction` does."""
    short, long = {"en": _english, "zh": _chinese}[language](facts)
    return CaptionAnswer(short=short, long=long, instruction=instructions.word_instruction(facts, language))


def _english(facts: dict[str, Any]) -> tuple[str, str]:
    subjects = _by_place(facts["subjects"])
    main = [subject for subject in subjects if subject["image"]] or subjects
    if len(main) == 1:
        short = (
            f"{words.with_article(words.thing_en(main[0], True))} {words.place_en(main[0]['position'])} of the picture."
        )
    else:
        things = [f"{words.with_article(words.thing_en(one))} {words.place_en(one['position'])}" for one in main]
        short = f"{' and '.join(things)} of the picture."
    if len(short) > 160:
        short = f"{words.number_en(len(main))} subjects in one picture."
    sentences = [
        _opening_en(subjects),
        *(_sentence_en(subject) for subject in subjects[:6]),
        *_scene_en(facts["background"]),
    ]
    return _capital(short), _fitting([_capital(sentence) for sentence in sentences], " ")


def _opening_en(subjects: list[dict[str, Any]]) -> str:
    categories = {subject["category"] for subject in subjects}
    noun = categories.pop() if len(categories) == 1 else "subject"
    count = len(subjects)
    return f"The picture shows {words.number_en(count)} {noun if count == 1 else words.plural_en(noun)}."


def _sentence_en(subject: dict[str, Any]) -> str:
    size = {"large": "large", "small": "small"}.get(subject["size"], "")
    traits = [words.colors_en(subject["colors"]) and f"is mostly {words.colors_en(subject['colors'])}"]
    traits.append(size and f"is {size} in the picture")
    traits.append(subject["motion"] and f"is moving {words.MOTIONS_EN[subject['motion']]}")
    said = [trait for trait in traits if trait]
    where = words.place_en(subject["position"], exact=True)
    if not said:
        return f"one {subject['category']} stands out {where}." if subject["image"] else f"there is one {where}."
    return (
        f"the {subject['category']} {where} {' and '.join([', '.join(said[:-1]), said[-1]]) if said[1:] else said[0]}."
    )


def _scene_en(background: dict[str, Any]) -> list[str]:
    colors, light = background["colors"], background["light"]
    sentences = [f"the background is mostly {words.colors_en(colors)}."] if colors else []
    return [*sentences, f"the picture as a whole is {light}."] if light else sentences


def _chinese(facts: dict[str, Any]) -> tuple[str, str]:
    subjects = _by_place(facts["subjects"])
    main = [subject for subject in subjects if subject["image"]] or subjects
    things = [
        f"{words.place_zh(one['position'])}有一{words.measure_zh(one['category'])}{words.thing_zh(one)}" for one in main
    ]
    short = f"画面{'，'.join(things)}。"
    if len(short) > 160:
        short = f"画面中有{words.number_zh(len(main))}个主体。"
    sentences = [_opening_zh(subjects), *(_sentence_zh(subject) for subject in subjects[:6])]
    background = facts["background"]
    if background["colors"]:
        sentences.append(f"背景以{words.colors_zh(background['colors'])}为主。")
    if background["light"]:
        sentences.append("画面整体较暗。" if background["light"] == "dark" else "画面整体明亮。")
    return short, _fitting(sentences, "")


def _opening_zh(subjects: list[dict[str, Any]]) -> str:
    categories = {subject["category"] for subject in subjects}
    category = categories.pop() if len(categories) == 1 else "subject"
    count = "一" if len(subjects) == 1 else words.number_zh(len(subjects))
    return f"画面中有{count}{words.measure_zh(category)}{words.noun_zh(category)}。"


def _sentence_zh(subject: dict[str, Any]) -> str:
    traits = [words.colors_zh(subject["colors"]) and f"以{words.colors_zh(subject['colors'])}为主"]
    traits.append({"large": "占画面的很大一部分", "small": "在画面中较小"}.get(subject["size"], ""))
    traits.append(subject["motion"] and f"正{words.MOTIONS_ZH[subject['motion']]}移动")
    said = [trait for trait in traits if trait]
    where = words.place_zh(subject["position"], exact=True)
    return f"{where}的{words.noun_zh(subject['category'])}{'，'.join(said) if said else '清晰可见'}。"


def _by_place(subjects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(subjects, key=lambda subject: subject["box"][0] + subject["box"][2])


def _capital(sentence: str) -> str:
    return sentence[0].upper() + sentence[1:]


def _fitting(sentences: list[str], between: str, limit: int = 800) -> str:
    """As many whole sentences as fit."""
    text = sentences[0]
    for sentence in sentences[1:]:
        if len(text) + len(between) + len(sentence) > limit:
            break
        text += between + sentence
    return text
