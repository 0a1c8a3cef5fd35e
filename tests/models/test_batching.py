"""Batching: order kept, every item once, exactly the poisoned ones fall, whatever the batch size."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from actors.models.batching import batched
from schemas.errors import BadInput, UserError
from schemas.reasons import Reason

weights = st.lists(st.integers(1, 9), max_size=40)
sizes = st.integers(1, 50)


class Device:
    """Answers with ten times each weight; fails on the `poisoned` weights, and when a batch weighs over `capacity`."""

    def __init__(self, capacity: int = 10**6, poisoned: frozenset[int] = frozenset()) -> None:
        self.capacity, self.poisoned = capacity, poisoned
        self.calls: list[list[int]] = []
        self.done: list[tuple[int, int]] = []

    def __call__(self, batch: list[tuple[int, int]]) -> list[int]:
        values = [weight for _, weight in batch]
        self.calls.append(values)
        if sum(values) > self.capacity:
            raise torch.OutOfMemoryError("CUDA out of memory")
        if self.poisoned & set(values):
            raise ValueError("poison")
        self.done += batch
        return [10 * weight for weight in values]


@given(weights, sizes)
def test_order_is_kept_and_every_item_asked_once(items, batch_size):
    device = Device()
    assert batched(device, list(enumerate(items)), batch_size) == [10 * item for item in items]
    assert device.done == list(enumerate(items))
    assert all(len(call) <= batch_size for call in device.calls)


@given(weights, sizes, st.integers(1, 30), st.frozensets(st.integers(1, 9), max_size=4))
def test_exactly_the_worst_items_fall_whatever_the_batch_size(items, batch_size, capacity, poisoned):
    device = Device(capacity, poisoned)
    numbered = list(enumerate(items))
    fatal = [item for item in items if item in poisoned and item <= capacity]
    if fatal and len(fatal) == len(items):
        with pytest.raises(ValueError, match="poison"):
            batched(device, numbered, batch_size)
        return
    found = batched(device, numbered, batch_size)
    reasons = [answer.reason if isinstance(answer, BadInput) else answer for answer in found]
    expected = {True: Reason.OUT_OF_MEMORY, False: Reason.MODEL_FAILED}
    assert reasons == [
        expected[item > capacity] if item > capacity or item in poisoned else 10 * item for item in items
    ]
    assert len(set(device.done)) == len(device.done)


def test_a_batch_that_did_not_fit_stays_small_for_the_rest():
    device = Device(capacity=2)
    assert batched(device, [(number, 1) for number in range(12)], 8) == [10] * 12
    assert [len(call) for call in device.calls] == [8, 4, 2, 2, 2, 2, 2, 2]


def test_one_poisoned_item_costs_few_calls():
    device = Device(poisoned=frozenset({9}))
    found = batched(device, [(number, 9 if number == 21 else 1) for number in range(64)], 64)
    assert [isinstance(answer, BadInput) for answer in found].index(True) == 21
    assert len(device.calls) <= 2 * 6 + 1
    assert "ValueError: poison" in str(found[21])


def test_bad_input_raised_by_the_model_keeps_its_reason():
    def call(batch):
        if "tiny" in batch:
            raise BadInput(Reason.SUBJECT_TOO_SMALL, "3 px")
        return batch

    assert batched(call, ["a", "tiny", "b"], 3)[::2] == ["a", "b"]
    (only,) = batched(call, ["tiny"], 3)
    assert (only.reason, only.message) == (Reason.SUBJECT_TOO_SMALL, "3 px")


@pytest.mark.parametrize(
    "error", [UserError("no such option"), torch.AcceleratorError("CUDA error: device-side assert triggered")]
)
def test_what_no_smaller_batch_mends_is_raised_at_once(error):
    calls = []

    def call(batch):
        calls.append(batch)
        raise error

    with pytest.raises(type(error)):
        batched(call, [1, 2, 3, 4], 4)
    assert len(calls) == 1


def test_too_few_answers_are_a_bug():
    with pytest.raises(ValueError, match="shorter"):
        batched(lambda batch: batch[1:], [1, 2, 3], 2)


def test_memory_that_a_cpu_does_not_have_is_out_of_memory():
    (answer,) = batched(lambda batch: [torch.empty(10**15) for _ in batch], [1], 1)
    assert answer.reason is Reason.OUT_OF_MEMORY
