"""Answers token by token: a model that goes step by step, and KerasHub's samplers (greedy, beam, top-k, top-p)."""

from keras import ops

#: Stands in a sampler's cache for a scalar, which all rows share: samplers take every tensor to have the batch first.
SHARED = "shared_by_all_rows"
#: The logit of what is out of the question.
NEVER = -1e9


def generate(step, state, token_ids, padding_mask, sampler, stop_token_ids=None, model=None):
    """Prompts and what a sampler adds to them.

    A prompt goes in token by token: where it has one, there is no other to be sampled, and it costs no likelihood. Nor
    does what follows a row's stop token while others go on: so a beam that has ended keeps its likelihood.

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

    def ask(token_ids, state, index):
        last = ops.take(token_ids, index - 1, axis=1)
        logits, state = step(last, as_was(state))
        return logits, None, by_row(state, ops.shape(token_ids)[0])

    next_token, cache = bound(ask, by_row(state, ops.shape(token_ids)[0]), padding_mask, stop_token_ids)
    found = sampler(
        next=next_token,
        prompt=token_ids,
        cache=cache,
        index=1,
        mask=padding_mask,
        stop_token_ids=stop_token_ids,
        model=model,
    )
    return found, _answered(found, padding_mask, stop_token_ids)


def bound(ask, cache, padding_mask, stop_token_ids):
    """A sampler's `next`, and the cache it begins with, in which what is given costs nothing and what has ended stays.

    Args:
        ask: such a function without that: `logits, vectors, cache = ask(token_ids, cache, index)`.
        cache: what it begins with, tensors with the batch first.
        padding_mask: boolean `(B, T)`, where the prompts are.
        stop_token_ids: which tokens end an answer; None if only the length does.
    """
    # A row without a prompt begins with the token it has.
    prompts = ops.maximum(ops.sum(ops.cast(padding_mask, "int32"), axis=-1), 1)

    def next_token(token_ids, cache, index):
        count = ops.shape(token_ids)[0]
        last, given = (ops.slice(token_ids, [0, place], [count, 1])[:, 0] for place in (index - 1, index))
        logits, vectors, own = ask(token_ids, cache["own"], index)
        logits = ops.cast(logits, "float32")  # In half precision there is no number for never.
        answering, ended = index >= cache["prompts"], cache["ended"]
        logits = ops.where(answering[:, None], logits, _nothing_but(given, logits))
        if stop_token_ids is not None:
            new = ops.logical_and(index > cache["prompts"], _any_of(last, stop_token_ids))
            ended = ops.logical_or(ended, new)
            end = ops.full((count,), stop_token_ids[0], dtype=token_ids.dtype)
            logits = ops.where(ended[:, None], _nothing_but(end, logits), logits)
        return logits, vectors, {**cache, "own": own, "ended": ended}

    return next_token, {"own": cache, "prompts": prompts, "ended": ops.zeros_like(prompts, dtype="bool")}


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


def _nothing_but(token_ids, logits):
    """Logits `(B, V)` that leave one token only in each row, that of the token ids `(B,)`."""
    others = ops.arange(logits.shape[-1], dtype=token_ids.dtype)[None] != token_ids[:, None]
    return NEVER * ops.cast(others, logits.dtype)


def _answered(token_ids, padding_mask, stop_token_ids):
    """Which positions are of the prompts or of the answers: boolean `(B, T)`."""
    if stop_token_ids is None:
        return ops.ones_like(token_ids, dtype="bool")
    ends = ops.logical_and(_any_of(token_ids, stop_token_ids), ops.logical_not(padding_mask))
    ends = ops.cast(ends, "int32")
    # Zero up to the first end, which counts as one of the answer's.
    return ops.equal(ops.cumsum(ends, axis=-1) - ends, 0)
