"""The language of edits: every form of IMAGEdit's examples, errors that show the place, and no text breaks it."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from schemas.edit import Action, Edit, Selector, Side, Turn
from schemas.errors import UserError
from stages.edit_grammar import FreeText, parse_edit, parse_prompts, print_turn

REPLACE, REMOVE, ADD, BACKGROUND = Action.REPLACE, Action.REMOVE, Action.ADD, Action.BACKGROUND
LEFT, RIGHT = Side.LEFT, Side.RIGHT


def turn_of(prompt: str) -> Turn:
    (turn,) = parse_prompts([prompt])
    assert isinstance(turn, Turn)
    return turn


def replaced(target: str, **selector) -> Edit:
    return Edit(REPLACE, Selector(**selector), target)


@pytest.mark.parametrize(
    ("prompt", "edits"),
    [
        ("[bear -> gorilla]", [replaced("gorilla", phrase="bear")]),
        (
            "[bear on the left -> gorilla; bear on the right -> polar bear]",
            [replaced("gorilla", phrase="bear", side=LEFT), replaced("polar bear", phrase="bear", side=RIGHT)],
        ),
        ("Left -> Ultraman; Right -> Robot", [replaced("Ultraman", side=LEFT), replaced("Robot", side=RIGHT)]),
        ("[background -> snowy forest]", [Edit(BACKGROUND, Selector("background"), "snowy forest")]),
        ("Autumn Forest -> Winter Forest", [Edit(BACKGROUND, Selector("Autumn Forest"), "Winter Forest")]),
        ("replace the background with a beach", [Edit(BACKGROUND, Selector("background"), "a beach")]),
        ("[glasses -> ]", [Edit(REMOVE, Selector(part="glasses"))]),
        ("Remove Glasses", [Edit(REMOVE, Selector(part="Glasses"))]),
        ("remove the dog.", [Edit(REMOVE, Selector("dog"))]),
        ("[Plaid Shirt -> Business Suit]", [replaced("Business Suit", part="Plaid Shirt")]),
        ("Glasses -> Sunglasses", [replaced("Sunglasses", part="Glasses")]),
        ("The Eiffel Tower -> The Space Needle", [replaced("The Space Needle", phrase="Eiffel Tower")]),
        ("[face -> Kevin Durant]", [replaced("Kevin Durant", part="face")]),
        ('Change Face To "Kevin Durant"', [replaced("Kevin Durant", part="Face")]),
        ("face of the man on the left -> clown", [replaced("clown", phrase="man", side=LEFT, part="face")]),
        ("the man's face -> clown", [replaced("clown", phrase="man", part="face")]),
        ("Add Glasses", [Edit(ADD, Selector(), "Glasses")]),
        ("[ -> glasses]", [Edit(ADD, Selector(), "glasses")]),
        ("add a red hat to the man on the left", [Edit(ADD, Selector("man", LEFT), "a red hat")]),
        ("second dancer from the left -> robot", [replaced("robot", phrase="dancer", nth=2)]),
        ("2nd dancer from the right -> robot", [replaced("robot", phrase="dancer", nth=-2)]),
        ("last car -> truck", [replaced("truck", phrase="car", nth=-1)]),
        ("first two cars -> trucks", [replaced("trucks", phrase="cars", side=LEFT, count=2)]),
        ("leftmost bear -> gorilla", [replaced("gorilla", phrase="bear", side=LEFT)]),
        ("the middle one -> robot", [replaced("robot", side=Side.CENTER)]),
        ("dancer in the centre of the picture -> robot", [replaced("robot", phrase="dancer", side=Side.CENTER)]),
        ("man in front -> robot", [replaced("robot", phrase="man", side=Side.FRONT)]),
        ("nearest car -> bus", [replaced("bus", phrase="car", side=Side.FRONT)]),
        ("person in the background -> robot", [replaced("robot", phrase="person", side=Side.BACK)]),
        ("farthest car -> bus", [replaced("bus", phrase="car", side=Side.BACK)]),
        ("bird at the top -> kite", [replaced("kite", phrase="bird", side=Side.TOP)]),
        ("red car -> blue truck", [replaced("blue truck", phrase="car", attributes=("red",))]),
        ("black and white dog -> wolf", [replaced("wolf", phrase="dog", attributes=("black", "white"))]),
        ("the man in gray -> robot", [replaced("robot", phrase="man", attributes=("grey",))]),
        ("orange -> apple", [replaced("apple", phrase="orange")]),
        ("small dog -> cat", [replaced("cat", phrase="dog", attributes=("small",))]),
        ("all -> robots", [replaced("robots")]),
        ("each dog -> cat", [replaced("cat", phrase="dog")]),
        ("both men -> robots", [replaced("robots", phrase="men", count=2)]),
        ("a pair of dogs -> cats", [replaced("cats", phrase="dogs", count=2)]),
        ("all of the 3 dogs -> cats", [replaced("cats", phrase="dogs", count=3)]),
        ("the other two bears -> wolves", [replaced("wolves", phrase="bears", count=2, others=True)]),
        ("others -> wolves", [replaced("wolves", others=True)]),
        ("the rest of the dogs -> wolves", [replaced("wolves", phrase="dogs", others=True)]),
        ("the dancer closest to the camera -> robot", [replaced("robot", phrase="dancer", side=Side.FRONT)]),
        ("car farthest from the camera -> bus", [replaced("bus", phrase="car", side=Side.BACK)]),
        ("person second from left -> robot", [replaced("robot", phrase="person", nth=2)]),
        ("bear left -> gorilla", [replaced("gorilla", phrase="bear", side=LEFT)]),
        ("subject 2 -> robot", [replaced("robot", phrase="subject 2")]),
        ("[熊 → 大猩猩]", [replaced("大猩猩", phrase="熊")]),
        ('man -> "Mr. T; [sic]"', [replaced("Mr. T; [sic]", phrase="man")]),
        (
            "turn the bear into a gorilla; remove the hat",
            [replaced("a gorilla", phrase="bear"), Edit(REMOVE, Selector(part="hat"))],
        ),
    ],
)  # fmt: skip
def test_forms(prompt, edits):
    assert turn_of(prompt) == Turn(tuple(edits))


@pytest.mark.parametrize(
    ("prompt", "count", "scene"),
    [
        ("Three [People -> Super Mario] sitting in the back seat", 3, "Three [] sitting in the back seat"),
        ("Eight [Hurdlers -> Iron Men] jumping.", 8, "Eight [] jumping."),
        ("12 [Hurdlers -> Iron Men] jump", 12, "12 [] jump"),
        ("A group of [People -> Astronauts] practicing boxing", None, "A group of [] practicing boxing"),
        ("A [dog -> wolf] in the snow", 1, "A [] in the snow"),
        ("Both [dogs -> wolves]", 2, ""),
    ],
)
def test_a_count_outside_the_bracket_binds_and_the_words_around_are_the_scene(prompt, count, scene):
    turn = turn_of(prompt)
    assert turn.edits[0].selector.count == count
    assert turn.scene == (scene or "Both []")


def test_places_outside_the_brackets():
    turn = turn_of("the [man -> robot] on the left and the second [dog -> cat] in the park")
    assert [each.selector for each in turn.edits] == [Selector("man", LEFT), Selector("dog", nth=2)]
    assert turn.scene == "the [] on the left and [] in the park"
    far = turn_of("Three [men -> robots] on the left side of the street").edits[0].selector
    assert far == Selector("men", count=3)  # a street has sides too


def test_turns():
    turns = parse_prompts(["Turn 1: Horse Riders -> Gokus\nTurn 2: The two above (Gokus -> Iron-Men)"])
    assert turns[0] == Turn((replaced("Gokus", phrase="Horse Riders"),))
    assert turns[1].edits == (replaced("Iron-Men", phrase="Gokus", count=2, above=True),)
    assert parse_prompts(["Horse Riders -> Gokus", "The two above (Gokus -> Iron-Men)"]) == turns


@pytest.mark.parametrize(
    "text",
    ["Make it look like a painting", "turn the bear into a gorilla and remove the hat", "give him a hat",
     "把熊换成猩猩", "remove the dog and the cat", "replace the man with the hat with a robot"],
)  # fmt: skip
def test_free_text_is_recognised_as_such(text):
    assert parse_prompts([text]) == [FreeText(text)]


@pytest.mark.parametrize(
    ("prompt", "place", "words"),
    [
        ("[dog -> wolf", "character 1, '['", "other half"),
        ("A nice [dog]", "character 9, '[dog]'", "->"),
        ("dog -> wolf -> cat", "character 13, '->'", "separate edits"),
        ("Left -> Ultraman, Right -> Robot", "character 25, '->'", "separate edits"),
        ("[dog -> wolf]; cat -> lion", "character 20, '->'", "outside"),
        ("[ -> ]", "character 2", "nothing on either side"),
        ("background ->", "character 1", "not removed"),
        ("man and woman -> robots", "character 5", "one target"),
        ("man in front of the car -> robot", "character 1", "beside another"),
        ("the left right bear -> cat", "character 10, 'right'", "one place"),
        ("Three [two dogs -> cats]", "character 7", "count"),
        ("0 dogs -> cats", "character 1, '0'", "count"),
        ('man -> "robot', "character 8", "quote"),
        ("the two above -> robots", "character 1", "no turn"),
        ("dog -> cat; make it snow", "character 12", "no edit"),
        ("Turn 1: a -> b Turn 3: c -> d", "character 16, 'Turn 3:'", "turn 2"),
        ("  ", "", "prompt, which is empty"),
        ("x" * 5000 + " -> y", "", "at most"),
    ],
)
def test_errors_show_the_place(prompt, place, words):
    with pytest.raises(UserError) as caught:
        parse_prompts([prompt])
    assert place in str(caught.value)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_error_names_the_prompt_of_several():
    with pytest.raises(UserError, match=r"^prompt 2, character 1"):
        parse_prompts(["a dog -> cat", "0 dogs -> cats"])


def test_an_edit_of_two_texts():
    assert parse_edit("bear on the left", 'a "Gorilla"; [big]') == replaced(
        'a "Gorilla"; [big]', phrase="bear", side=LEFT
    )
    assert parse_edit("glasses", "") == Edit(REMOVE, Selector(part="glasses"))
    assert parse_edit(" ", "glasses") == Edit(ADD, Selector(), "glasses")
    assert parse_edit("background", "snow").action is BACKGROUND
    for select, target in (("", ""), ("left right bear", "x"), ("background", "")):
        with pytest.raises(UserError):
            parse_edit(select, target)


PIECES = st.sampled_from(
    "[ ] ( ) -> → ; : \" “ ” ' , . left right on the of in front above two three 2 0 a an all both first second last "
    "from bear Polar bears man's face hat red small and with add remove change to into turn 1 Turn 2: background "
    "forest wearing subject one other rest nearest camera everyone 熊 -- > \n \x00 İ".split(" ")
)


@settings(max_examples=1500)
@given(st.one_of(st.text(max_size=60), st.lists(PIECES, max_size=12).map(" ".join)))
@example('-> "')
@example("[a -> b] [")
@example("the 's hat -> x")
def test_any_text_parses_or_is_a_user_error_and_prints_back(text):
    try:
        turns = parse_prompts([text])
    except UserError as error:
        if len(str(error).splitlines()) != 1:
            raise
        return
    assert turns
    for number, turn in enumerate(turns):
        if isinstance(turn, FreeText):
            assert turn.text
            continue
        before = [] if number == 0 else ["x -> y"]
        assert parse_prompts([*before, print_turn(turn)])[-1] == turn
