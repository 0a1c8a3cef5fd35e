"""Nouns of prompts: their head, their number, whether two of them name one kind of thing, and which name no subject."""

import re

from stages import mining, words

_PLURALS = {words.plural_en(noun): noun for noun in words.NOUNS_ZH} | {
    "feet": "foot", "hooves": "hoof", "knives": "knife", "leaves": "leaf", "calves": "calf", "geese": "goose",
    "mice": "mouse", "teeth": "tooth", "women": "woman", "ladies": "lady", "bodies": "body", "people": "person",
}  # fmt: skip
_SAME_IN_PLURAL = {"sheep", "fish", "deer", "bus", "gas", "clothes"}
_PAIRS = {"glasses", "sunglasses", "goggles", "trousers", "pants", "jeans", "shorts", "clothes", "headphones"}
_NOUN_ENDS = re.compile(r"\s+(?:in|on|at|of|with|without|near|by|from|behind|beside|under|who|that|which|wearing)\s")

_PERSONS = frozenset("dancer rider runner hurdler skier surfer cyclist player singer worker driver".split())
ANYTHING = frozenset("subject subjects object objects thing things one ones instance instances everything".split())

PARTS = frozenset(
    "face head hair beard mustache moustache eye nose mouth ear neck arm hand leg foot tail paw hoof mane wing horn "
    "fur shirt t-shirt tshirt blouse sweater hoodie jacket coat vest suit dress skirt trousers pants jeans shorts "
    "clothes clothing outfit costume uniform jersey shoe boot sneaker sock glove scarf tie belt hat cap helmet crown "
    "mask glasses sunglasses goggles necklace earring watch headphones saddle collar wheel windshield bumper".split()
)
"""What is worn or belongs to a body or a vehicle: said alone, it is looked for on any subject."""

BACKGROUNDS = frozenset(
    "background backdrop scene scenery surroundings environment setting landscape forest woods jungle desert "
    "beach".split()
)
"""What stands for everything that is no subject."""


def head(phrase: str) -> str:
    """The noun a phrase is about, in lower case and singular: "the red cars in the street" -> "car"; "" for ""."""
    core = _NOUN_ENDS.split(f"{phrase.strip().lower()} ")[0].split()
    return singular(core[-1]) if core else ""


def singular(noun: str) -> str:
    """One of it, in lower case: wolves -> wolf, buses -> bus, glasses stay."""
    word = noun.lower()
    if word in _PLURALS:
        return _PLURALS[word]
    if word in _PAIRS or word in _SAME_IN_PLURAL or len(word) < 4 or word.endswith(("ss", "us", "is")):
        return word
    if word.endswith("ies") and len(word) > 4:
        return f"{word[:-3]}y"
    if word.endswith(("sses", "xes", "ches", "shes", "buses")):
        return word[:-2]
    return word.removesuffix("s")


def one(phrase: str) -> str:
    """The phrase with its last word in singular: "polar bears" -> "polar bear"."""
    *before, last = phrase.split() or [""]
    return " ".join([*before, singular(last)])


def is_plural(phrase: str) -> bool:
    """Whether the noun stands for several: "bears", "people on the left"; not "glasses"."""
    core = _NOUN_ENDS.split(f"{phrase.strip().lower()} ")[0].split()
    return bool(core) and singular(core[-1]) != core[-1]


def same_kind(phrase: str, category: str) -> bool:
    """Whether a thing of that category can be what the phrase says: equal, or one names the other's noun.

    "hungry dogs" and "dog", "bear" and "polar bear", "man" and "person"; not "polar bear" and "brown bear", nor "man"
    and "woman".
    """
    some, others = _words(phrase), _words(category)
    if not some or not others or not _same_noun(singular(some[-1]), singular(others[-1])):
        return False
    return some[:-1] == others[:-1] or len(some) == 1 or len(others) == 1


def says_all(category: str, phrase: str) -> bool:
    """Whether a category says as much as the phrase: "tall man" says more than "man", and that is unchecked."""
    said = {singular(word) for word in phrase.lower().split()} - {head(phrase), "a", "an", "the"}
    return said <= {singular(word) for word in category.lower().split()}


def _words(phrase: str) -> list[str]:
    core = re.sub(r"[^\w\s-]", " ", _NOUN_ENDS.split(f"{phrase.strip().lower()} ")[0]).split()
    return core[1:] if core[:1] in (["a"], ["an"], ["the"]) else core


def _same_noun(one: str, other: str) -> bool:
    """Equal, or one the general word for the other. Names have plurals no rule tells from a bus: Gokus."""
    return one.removesuffix("s") == other.removesuffix("s") or _general(one) == other or _general(other) == one


def _general(noun: str) -> str:
    return "person" if noun in _PERSONS else mining.fold(noun)


def is_part(phrase: str) -> bool:
    return head(phrase) in PARTS


def is_background(phrase: str) -> bool:
    return head(phrase) in BACKGROUNDS
