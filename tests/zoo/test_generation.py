"""Sampling step by step, against all answers there are."""

import itertools

import keras
import keras_hub
import numpy as np
import pytest
from keras import ops

from zoo.generation import as_was, by_row, generate

B, T, VOCABULARY, END = 2, 4, 7, 3
#: Log-probabilities of the next token, by row of the batch and last token.
CHAIN = np.random.default_rng(5).normal(size=(B, VOCABULARY, VOCABULARY), scale=2.0).astype("float32")
CHAIN -= np.log(np.exp(CHAIN).sum(axis=-1, keepdims=True))


def step(token_ids, state):
    rows = ops.take(ops.convert_to_tensor(CHAIN.reshape(-1, VOCABULARY)), state["row"] * VOCABULARY + token_ids, axis=0)
    # The count stands in the state as a cache's does, and must go on whatever the beams do.
    return rows + 0.0 * ops.cast(state["count"], "float32"), {**state, "count": state["count"] + 1}


def sample(sampler, prompts):
    token_ids, mask = np.zeros((B, T), "int32"), np.zeros((B, T), bool)
    for row, prompt in enumerate(prompts):
        token_ids[row, : len(prompt)], mask[row, : len(prompt)] = prompt, True
    state = {"row": ops.arange(B, dtype="int32"), "count": ops.zeros((), dtype="int32")}
    sampler = keras_hub.samplers.get(sampler)
    found, mask = generate(step, state, ops.convert_to_tensor(token_ids), mask, sampler, stop_token_ids=[END])
    found, mask = ops.convert_to_numpy(found), ops.convert_to_numpy(mask)
    return [found[row, mask[row]].tolist() for row in range(B)]


def likelihood(row, answer):
    return sum(CHAIN[row, last, token] for last, token in itertools.pairwise(answer))


def best(row, prompt):
    """The likeliest of all answers that end, or are as long as can be."""
    answers = []
    for count in range(1, T - len(prompt) + 1):
        for rest in itertools.product([token for token in range(VOCABULARY) if token != END], repeat=count - 1):
            answers.append([*prompt, *rest, END])
    for rest in itertools.product([token for token in range(VOCABULARY) if token != END], repeat=T - len(prompt)):
        answers.append([*prompt, *rest])
    return max(answers, key=lambda answer: likelihood(row, answer))


PROMPTS = [[[0], [0]], [[0, 1], [0]], [[0, 1, 4], [0, 5]]]


@pytest.mark.parametrize("prompts", PROMPTS, ids=["none", "one", "both"])
def test_wide_beams_find_the_likeliest_of_all_answers(prompts):
    found = sample(keras_hub.samplers.BeamSampler(num_beams=223), prompts)
    assert found == [best(row, prompt) for row, prompt in enumerate(prompts)]


@pytest.mark.parametrize("prompts", PROMPTS, ids=["none", "one", "both"])
def test_a_greedy_answer_and_one_beam_take_the_likeliest_token_each_time(prompts):
    expected = []
    for row, prompt in enumerate(prompts):
        answer = list(prompt)
        while len(answer) < T and (len(answer) == len(prompt) or answer[-1] != END):
            answer.append(int(CHAIN[row, answer[-1]].argmax()))
        expected.append(answer)
    assert sample("greedy", prompts) == expected
    assert sample(keras_hub.samplers.BeamSampler(num_beams=1), prompts) == expected


def test_some_greedy_answer_is_not_the_best_so_that_the_tests_above_differ():
    assert sample("greedy", PROMPTS[0]) != [best(row, [0]) for row in range(B)]


def test_one_of_the_best_is_all_that_top_k_and_top_p_have_to_choose_from():
    greedy = sample("greedy", PROMPTS[1])
    assert sample(keras_hub.samplers.TopKSampler(k=1, seed=0), PROMPTS[1]) == greedy
    assert sample(keras_hub.samplers.TopPSampler(p=1e-6, seed=0), PROMPTS[1]) == greedy


def test_a_state_has_the_batch_first_for_samplers_and_comes_back_as_it_was():
    state = {"blocks": [{"position": ops.ones((), "int32"), "kept": ops.zeros((B, 5))}, ()], "cell": (ops.ones((B,)),)}
    rows = by_row(state, B)
    assert all(x.shape[0] == B for x in keras.tree.flatten(rows))
    again = as_was(rows)
    keras.tree.assert_same_structure(again, state)
    assert [tuple(x.shape) for x in keras.tree.flatten(again)] == [tuple(x.shape) for x in keras.tree.flatten(state)]
