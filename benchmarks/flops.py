"""What `tuning.flops` counts of a pass, beside XLA: its whole count, and its products alone.

    KERAS_BACKEND=jax python benchmarks/flops.py [--width=24] [mixer ...]

The models are the digits task's, for 5 images. XLA's whole count has what is done to each number by itself too, and
counts loops as if they turned once; products (`dot_general` and convolutions, of loops as often as they turn) are added
up from the traced program. Fourier transforms are in neither of XLA's two.
"""

import math
import sys

import jax
import numpy as np

from keras_attn import mixers
from tuning import flops, tasks

WIDTH = next((int(option.split("=")[1]) for option in sys.argv if option.startswith("--width=")), 24)
NAMES = [name for name in sys.argv[1:] if not name.startswith("--")] or mixers.names()


def products(program):
    """Operations of all products of a traced program."""
    return sum(of_one(equation) for equation in program.eqns)


def of_one(equation):
    name, params = equation.primitive.name, equation.params
    if name == "dot_general":
        (summed, _), _ = params["dimension_numbers"]
        return (
            2 * math.prod(equation.outvars[0].aval.shape) * math.prod(equation.invars[0].aval.shape[i] for i in summed)
        )
    if name == "conv_general_dilated":
        kernel = equation.invars[1].aval.shape
        outputs = kernel[params["dimension_numbers"].rhs_spec[0]]
        return 2 * math.prod(equation.outvars[0].aval.shape) * math.prod(kernel) // outputs
    inner = [each for value in params.values() for each in (value if isinstance(value, (list, tuple)) else [value])]
    inner = [getattr(each, "jaxpr", each) for each in inner]
    return params.get("length", 1) * sum(products(each) for each in inner if hasattr(each, "eqns"))


def main():
    task = tasks.get("digits")
    x = np.random.default_rng(0).normal(size=(5, 8, 8, 1)).astype("float32")
    print(f"{'mixer':<30} {'counted':>12} {'products':>12} {'XLA':>12} {'XLA / counted':>14}")
    for name in NAMES:
        try:
            model = task.model(name, WIDTH, 0.0)
        except ValueError as error:
            print(f"{name:<30} {str(error)[:80]}")
            continue
        counted = flops.count(model, x)
        call = lambda x, model=model: model(x, training=False)  # noqa: E731
        xla, alone = jax.jit(call).lower(x).cost_analysis()["flops"], products(jax.make_jaxpr(call)(x).jaxpr)
        print(f"{name:<30} {counted:>12,} {alone:>12,} {xla:>12,.0f} {xla / counted:>14.2f}")


if __name__ == "__main__":
    main()
