"""How large a model is, how much it computes, and how much memory a training step takes."""

import functools

import keras

from tuning import budget, flops
from tuning.factors import memory


def parts(task, data, model, run, clock):
    """See `tuning.factors.attempt`."""
    batch = data.train.take(slice(task.batch_size))
    return {
        ("parameters",): lambda: (model.count_params(),),
        ("flops",): lambda: (round(flops.of_step(model, batch.x)),),
        ("memory",): lambda: (_memory(task, model, batch),),
    }


def _memory(task, model, batch):
    """Bytes that training takes at most: weights, the optimizer's numbers, and what a step adds."""
    before = model.get_weights()
    step = functools.partial(budget.step_seconds, model, batch, task.measure, steps=1)
    try:
        # The first step compiles, which takes far more.
        step()
        added = memory.peak_of(functools.partial(model.train_on_batch, batch.x, batch.y, batch.weight))
        kept = sum(_bytes(variable) for variable in (*model.variables, *model.optimizer.variables))
    finally:
        model.set_weights(before)
    return kept + added


def _bytes(variable):
    return keras.ops.convert_to_numpy(variable).nbytes
