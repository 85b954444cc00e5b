import keras
import numpy as np
import pytest
from keras import ops

from keras_attn import DifferentiableNeuralComputer, DifferentiableNeuralComputerCell
from tests.keras_attn.memory import loops
from tests.keras_attn.memory.machines import B, D, T, lstm_of, normal, numpy, parts_of, shaken

N, WIDTH = 7, 2
EVERYTHING = {"masked_keys": True, "erase_freed": True, "sharpened_links": True}


def by_loops(layer, inputs, memory, usage):
    """Outputs `(T, D)`, weights `(H, T, N)` and what is kept in the end, of one sequence and from this memory on."""
    parts = parts_of(layer)
    reads, writes = layer.read_heads, layer.write_heads
    read, written = np.zeros((reads, N)), np.zeros((writes, N))
    links, before = np.zeros((writes, N, N)), np.zeros((writes, N))
    previous, carry = np.zeros(layer.cell.output_size), np.zeros(layer.cell.units)
    outputs, shown = [], []
    for x in inputs.astype("float64"):
        output, carry = loops.lstm(x, previous, carry, lstm_of(parts))
        asked = output @ parts["cell/interface_kernel"] + parts["cell/interface_bias"]
        read_keys, asked = loops.taken(asked, reads, WIDTH)
        read_strengths, asked = loops.taken(asked, reads)
        write_keys, asked = loops.taken(asked, writes, WIDTH)
        write_strengths, asked = loops.taken(asked, writes)
        erase, asked = loops.taken(asked, writes, WIDTH)
        add, asked = loops.taken(asked, writes, WIDTH)
        free, asked = loops.taken(asked, reads)
        allocation_gates, asked = loops.taken(asked, writes)
        write_gates, asked = loops.taken(asked, writes)
        modes = np.zeros((reads, 1))
        if layer.links is not None:
            modes, asked = loops.taken(asked, reads, 1 + 2 * writes)
        read_masks, write_masks = [None] * reads, [None] * writes
        if layer.masked_keys:
            read_masks, asked = loops.taken(asked, reads, WIDTH)
            write_masks, asked = loops.taken(asked, writes, WIDTH)
            read_masks, write_masks = loops.sigmoid(read_masks), loops.sigmoid(write_masks)
        if layer.sharpened_links:
            exponents, asked = loops.taken(asked, 2, writes, reads)
            exponents = 1.0 + loops.softplus(exponents)
        assert len(asked) == 0
        free = loops.sigmoid(free)
        usage = loops.usage(usage, written, read, free)
        if layer.erase_freed:
            freed = np.prod([1.0 - f * w for f, w in zip(free, read)], axis=0)
        left, written = usage, []
        for h in range(writes):
            content = loops.content(write_keys[h], 1.0 + loops.softplus(write_strengths[h]), memory, write_masks[h])
            given, allocates, writing = (
                loops.allocation(left),
                *loops.sigmoid(np.array([allocation_gates[h], write_gates[h]])),
            )
            left = left + (1.0 - left) * allocates * writing * given
            written.append(writing * (allocates * given + (1.0 - allocates) * content))
        memory = memory * freed[:, None] if layer.erase_freed else memory
        memory = loops.write(memory, written, loops.sigmoid(erase), add)
        forward, backward = np.zeros((writes, reads, N)), np.zeros((writes, reads, N))
        for h in range(writes):
            links[h] = loops.link(links[h], written[h], before[h])
            before[h] = (1.0 - written[h].sum()) * before[h] + written[h]
            for r in range(reads):
                forward[h, r], backward[h, r] = links[h] @ read[r], links[h].T @ read[r]
                if layer.sharpened_links:
                    forward[h, r] = loops.sharpen(forward[h, r], exponents[1, h, r])
                    backward[h, r] = loops.sharpen(backward[h, r], exponents[0, h, r])
        read = []
        for r in range(reads):
            content = loops.content(read_keys[r], 1.0 + loops.softplus(read_strengths[r]), memory, read_masks[r])
            if layer.links is None:
                read.append(content)
                continue
            mode = loops.softmax(modes[r])
            read.append(mode[:writes] @ backward[:, r] + mode[writes] * content + mode[writes + 1 :] @ forward[:, r])
        previous = np.concatenate([output, *(weight @ memory for weight in read)])
        outputs.append(previous @ parts["output/kernel"] + parts["output/bias"])
        shown.append(np.array([*read, *written]))
    return np.array(outputs), np.stack(shown, axis=1), {"memory": memory, "usage": usage, "precedence": before}


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"read_heads": 3, "write_heads": 2},
        {"links": N, "read_heads": 3, "write_heads": 2},
        {"links": None},
        {"read_heads": 2, **EVERYTHING},
    ],
    ids=["plain", "heads", "sparse", "no-links", "later-fixes"],
)
def test_the_computer_follows_the_equations(options):
    layer, inputs = shaken(DifferentiableNeuralComputer(N, WIDTH, **options)), normal(B, T, D)
    # No slot begins like another: of equal ones, rounding would say which is written first.
    memory, usage = normal(B, N, WIDTH), np.random.default_rng(0).uniform(0.1, 0.9, size=(B, N)).astype("float32")
    state = layer.initial_state(B)
    first = len(state) - len(layer.cell.memory_shapes)
    state[first : first + 2] = [ops.convert_to_tensor(x.reshape(B, -1)) for x in (memory, usage)]
    outputs, kept = layer.prefill(ops.convert_to_tensor(inputs), state)
    kept, weights = layer.memory_of(kept), []
    for t in range(T):
        _, state = layer.step(ops.convert_to_tensor(inputs[:, t]), state)
        weights.append(numpy(layer.cell.weights_of(layer.memory_of(state))))
    for b in range(B):
        expected, expected_weights, expected_kept = by_loops(layer, inputs[b], memory[b], usage[b])
        np.testing.assert_allclose(numpy(outputs)[b], expected, rtol=2e-3, atol=5e-5)
        np.testing.assert_allclose(np.stack(weights, axis=2)[b], expected_weights, rtol=2e-3, atol=5e-5)
        for name in set(kept) & set(expected_kept):
            np.testing.assert_allclose(numpy(kept[name])[b], expected_kept[name], rtol=2e-3, atol=5e-5)


@pytest.mark.parametrize("reads", [1, 3])
def test_with_one_writing_head_the_interface_has_the_paper_s_size(reads):
    cell = DifferentiableNeuralComputerCell(11, N, WIDTH, read_heads=reads)
    assert cell.interface_size == reads * WIDTH + 3 * WIDTH + 5 * reads + 3


def test_the_cell_runs_in_keras_s_own_layer():
    cell = DifferentiableNeuralComputerCell(3, N, WIDTH, read_heads=2, links=4)
    layer = keras.layers.RNN(cell, return_sequences=True, return_state=True)
    inputs, mask = normal(B, T, D), np.arange(T)[None] < np.array([T, 2, 3])[:, None]
    outputs, *states = layer(inputs, mask=mask)
    assert tuple(outputs.shape) == (B, T, 3 + 2 * WIDTH)
    _, *short = layer(inputs[:, :2])
    for state, after_two in zip(states, short):
        np.testing.assert_allclose(numpy(state)[1], numpy(after_two)[1], rtol=1e-5, atol=1e-6)


def test_sparse_links_cost_less_to_keep_than_full_ones():
    full, sparse = (DifferentiableNeuralComputerCell(3, 101, WIDTH, links=links) for links in ("full", 4))
    assert sum(full.state_size) - sum(sparse.state_size) == 101 * 101 - 2 * 101 * 4


def test_weights_never_sum_to_more_than_one():
    layer = shaken(DifferentiableNeuralComputer(N, WIDTH, read_heads=2, write_heads=2))
    _, weights = layer(3.0 * normal(B, 17, D), return_attention_scores=True)
    sums = numpy(weights).sum(-1)
    assert np.all(numpy(weights) >= -1e-6) and np.all(sums <= 1.0 + 1e-5) and np.any(sums < 0.9)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"slots": 0}, "slots"),
        ({"links": 0}, "links"),
        ({"slots": 4, "links": 5}, "of the 4 slots"),
        ({"links": "sparse"}, "links"),
        ({"links": None, "sharpened_links": True}, "nothing to sharpen"),
        ({"masked_keys": "yes"}, "True or False"),
        ({"erase_freed": 1}, "True or False"),
    ],
    ids=lambda x: None if isinstance(x, str) else ",".join(x),
)
def test_an_impossible_option_is_refused_at_once(options, message):
    with pytest.raises(ValueError, match=message):
        DifferentiableNeuralComputer(**options)
