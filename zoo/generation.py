"""Answers token by token: a model that goes step by step, and KerasHub's samplers (greedy, beam, top-k, top-p)."""

from keras import ops

#: Stands in a sampler's cache for a scalar, which all rows share: samplers take every tensor to have the batch first.
SHARED = "shared_by_all_rows"
#: The logit of what is out of the question.
NEVER = -1e9


def generate(step, state, token_ids, padding_mask, sampler, stop_token_ids=None, model=None):
    """Prompts and what a sampler adds to them.

    Rows go on until each has a stop token of its own. A row that has one adds nothing but that token, which costs
    nothing: so a beam that has ended keeps its likelihood.

    Args:
        step: `logits, state = step(token_ids, state)` for the token ids `(B,)` at the next position, logits `(B, V)`.
        state: the state before the first token: any nesting of dictionaries and lists of tensors, each with the batch
            first or a scalar.
        token_ids: int `(B, T)`: each row begins with its prompt, of at least one token.
        padding_mask: `(B, T)`, nonzero where the prompts are.
        sampler: a `keras_hub.samplers.Sampler`.
        stop_token_ids: which tokens end an answer; None if only the length does.
        model: whose variables `step` uses, as samplers want to know on jax.

    Returns:
        Token ids and a boolean mask `(B, T)` of prompts and answers, stop tokens included.
    """
    padding_mask = ops.cast(padding_mask, "bool")
    lengths = ops.sum(ops.cast(padding_mask, "int32"), axis=-1)
    batch = ops.shape(token_ids)[0]
    first = ops.min(lengths)
    rows = {
        "state": by_row(state, batch),
        "lengths": lengths,
        "ended": ops.zeros((batch,), dtype="bool"),
    }

    def advance(token_ids, rows, index):
        """Logits for the token at `index`, and the rows after the one before it."""
        count = ops.shape(token_ids)[0]
        last = ops.slice(token_ids, [0, index - 1], [count, 1])[:, 0]
        logits, state = step(last, as_was(rows["state"]))
        ended = rows["ended"]
        if stop_token_ids is not None:
            answered = index - 1 >= rows["lengths"]
            ended = ops.logical_or(ended, ops.logical_and(_any_of(last, stop_token_ids), answered))
            logits = ops.where(ended[:, None], _nothing_but(stop_token_ids[0], logits), logits)
        return logits, {**rows, "state": by_row(state, count), "ended": ended}

    # What all prompts have in common goes in before anything is sampled.
    _, rows = ops.while_loop(
        lambda index, rows: index < first,
        lambda index, rows: (index + 1, advance(token_ids, rows, index)[1]),
        (ops.ones((), dtype="int32"), rows),
    )

    def next_token(prompt, cache, index):
        logits, cache = advance(prompt, cache, index)
        return logits, None, cache

    found = sampler(
        next=next_token,
        prompt=token_ids,
        cache=rows,
        index=first,
        mask=padding_mask,
        stop_token_ids=stop_token_ids,
        model=model,
    )
    return found, _answered(found, padding_mask, stop_token_ids)


def by_row(state, batch_size):
    """The state with the batch first in all its tensors: what is shared by all rows is there once for each."""
    if isinstance(state, dict):
        return {name: by_row(part, batch_size) for name, part in state.items()}
    if isinstance(state, (list, tuple)):
        return type(state)(by_row(part, batch_size) for part in state)
    return state if len(state.shape) else {SHARED: ops.broadcast_to(state, (batch_size,))}


def as_was(state):
    """The state that `by_row` was given."""
    if isinstance(state, dict):
        return state[SHARED][0] if SHARED in state else {name: as_was(part) for name, part in state.items()}
    if isinstance(state, (list, tuple)):
        return type(state)(as_was(part) for part in state)
    return state


def _any_of(token_ids, stop_token_ids):
    found = ops.equal(token_ids, stop_token_ids[0])
    for other in stop_token_ids[1:]:
        found = ops.logical_or(found, ops.equal(token_ids, other))
    return found


def _nothing_but(token_id, logits):
    """Logits `(1, V)` that leave one token only."""
    others = ops.not_equal(ops.arange(logits.shape[-1]), token_id)
    return ops.cast(others, logits.dtype)[None] * NEVER


def _answered(token_ids, padding_mask, stop_token_ids):
    """Which positions are of the prompts or of the answers: boolean `(B, T)`."""
    if stop_token_ids is None:
        return ops.ones_like(token_ids, dtype="bool")
    ends = ops.logical_and(_any_of(token_ids, stop_token_ids), ops.logical_not(padding_mask))
    ends = ops.cast(ends, "int32")
    # Zero up to the first end, which counts as one of the answer's.
    return ops.equal(ops.cumsum(ends, axis=-1) - ends, 0)
