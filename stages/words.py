"""Words for measured facts, in English and Chinese: nouns, colours, places, sizes, numbers."""

from typing import Any

COLORS_ZH = {
    "black": "黑色", "white": "白色", "grey": "灰色", "brown": "棕色", "beige": "米色", "red": "红色", "orange": "橙色",
    "yellow": "黄色", "green": "绿色", "teal": "青色", "blue": "蓝色", "purple": "紫色", "pink": "粉色",
}  # fmt: skip
# Noun and its measure word. A noun that is not here stays as it is: better English than wrong.
NOUNS_ZH = {
    "subject": ("主体", "个"), "person": ("人", "个"), "man": ("男人", "个"),
    "woman": ("女人", "个"), "dancer": ("舞者", "位"), "rider": ("骑手", "位"),
    "child": ("孩子", "个"), "dog": ("狗", "只"), "cat": ("猫", "只"),
    "wolf": ("狼", "只"), "bird": ("鸟", "只"), "camel": ("骆驼", "头"),
    "horse": ("马", "匹"), "cow": ("牛", "头"), "sheep": ("羊", "只"),
    "bear": ("熊", "只"), "elephant": ("大象", "头"), "car": ("汽车", "辆"),
    "cart": ("小车", "辆"), "truck": ("卡车", "辆"), "bus": ("公交车", "辆"),
    "bicycle": ("自行车", "辆"), "motorcycle": ("摩托车", "辆"), "boat": ("船", "艘"),
    "cup": ("杯子", "个"), "flower": ("花", "朵"), "ball": ("球", "个"),
    "chair": ("椅子", "把"), "bag": ("包", "个"), "backpack": ("背包", "个"),
    "kite": ("风筝", "只"), "face": ("脸", "张"),
}  # fmt: skip
ORDINALS_EN = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")
NUMBERS_EN = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
NUMBERS_ZH = "零一二三四五六七八九十"
ACROSS_ZH = {"left": "左侧", "centre": "中间", "right": "右侧"}
DOWN_ZH = {"top": "上方", "bottom": "下方"}
CORNERS_ZH = {
    ("left", "top"): "左上方", ("right", "top"): "右上方", ("left", "bottom"): "左下方", ("right", "bottom"): "右下方",
}  # fmt: skip
MOTIONS_ZH = {"left": "向左", "right": "向右", "up": "向上", "down": "向下"}
MOTIONS_EN = {"left": "to the left", "right": "to the right", "up": "upwards", "down": "downwards"}


def colors_en(colors: list[str]) -> str:
    return " and ".join(colors)


def colors_zh(colors: list[str]) -> str:
    """棕色, or 黑白相间-like pairs as 黑色和白色."""
    return "和".join(COLORS_ZH[color] for color in colors)


def noun_zh(category: str) -> str:
    return NOUNS_ZH.get(category, (category, "个"))[0]


def measure_zh(category: str) -> str:
    return NOUNS_ZH.get(category, (category, "个"))[1]


def thing_en(fact: dict[str, Any], with_size: bool = False) -> str:
    """brown and white dog; large brown dog."""
    words = [fact.get("size", "") if with_size else "", colors_en(fact["colors"]), fact["category"]]
    return " ".join(word for word in words if word)


def thing_zh(fact: dict[str, Any], with_size: bool = False) -> str:
    """棕色的狗; 体型较大的…"""
    size = {"large": "大幅的", "small": "小小的"}.get(fact.get("size", ""), "") if with_size else ""
    color = f"{colors_zh(fact['colors'])}的" if fact["colors"] else ""
    return f"{size}{color}{noun_zh(fact['category'])}"


def with_article(words: str) -> str:
    return f"{'an' if words[0].lower() in 'aeiou' else 'a'} {words}"


def place_en(position: list[str], exact: bool = False) -> str:
    """at the left, in the centre, at the top right. exact: name top and bottom too."""
    across, down = position
    if not exact or down == "middle":
        return "in the centre" if across == "centre" else f"at the {across}"
    return f"at the {down}" if across == "centre" else f"at the {down} {across}"


def place_zh(position: list[str], exact: bool = False) -> str:
    across, down = position
    if not exact or down == "middle":
        return ACROSS_ZH[across]
    return DOWN_ZH[down] if across == "centre" else CORNERS_ZH[across, down]


def number_zh(number: int) -> str:
    if number == 2:
        return "两"
    return NUMBERS_ZH[number] if number <= 10 else str(number)


def number_en(number: int) -> str:
    return NUMBERS_EN[number] if number <= 10 else str(number)


def plural_en(noun: str) -> str:
    irregular = {
        "person": "people",
        "man": "men",
        "woman": "women",
        "child": "children",
        "sheep": "sheep",
        "wolf": "wolves",
    }
    if noun in irregular:
        return irregular[noun]
    return f"{noun}es" if noun.endswith(("s", "x", "ch", "sh")) else f"{noun}s"
