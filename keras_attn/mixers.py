"""The table of mechanisms: a name, the class behind it, and the options it has unless told otherwise.

A spec is plain data: a name, or a dictionary `{"mixer": name, **options}`. The same one stands in a model's
configuration, a preset, a trial, a report and on the command line.
"""

import inspect

from keras_attn.explicit import (
    AdditiveAttention,
    DeltaRule,
    GatedLinearAttention,
    GaussianWindowAttention,
    LinearAttention,
    LocalAttention,
    LocationAttention,
    LocationSensitiveAttention,
    MonotonicAttention,
    MonotonicChunkwiseAttention,
    MultiHeadAttention,
    MultiplicativeAttention,
    Retention,
    StochasticHardAttention,
)
from keras_attn.implicit import (
    RWKV,
    S4D,
    S5,
    AcrossGrid,
    DepthwiseConvolution,
    Fourier,
    GatedConvolution,
    GatedMLP,
    Identity,
    LinearRecurrence,
    LongConvolution,
    MinGRU,
    MinLSTM,
    Pooling,
    RealGatedLRU,
    Recurrent,
    SelectiveStateSpace,
    TokenMLP,
    TokenShift,
)
from keras_attn.lookup import choose, read_spec
from keras_attn.memory import (
    DifferentiableNeuralComputer,
    Hopfield,
    HopfieldLookup,
    KeyValueMemory,
    NearestMemory,
    NeuralTuringMachine,
    PersistentMemory,
    ProductKeyMemory,
    SegmentMemory,
)
from keras_attn.mixer import Mixer

TWO_WAYS = {"mixer": "min_gru", "bidirectional": True}

MIXERS = {
    "additive": (AdditiveAttention, {"units": 64}),
    "multiplicative": (MultiplicativeAttention, {"score": "general"}),
    # Without biases: under softmax the keys' bias would never learn anything.
    "multi_head": (MultiHeadAttention, {"num_heads": 4, "use_bias": False}),
    # One query for each position: the reader goes on by about one position for each query.
    "monotonic": (MonotonicAttention, {"score_bias": 0.0}),
    "monotonic_chunkwise": (MonotonicChunkwiseAttention, {"score_bias": 0.0}),
    "stochastic_hard": (StochasticHardAttention, {}),
    "gaussian_window": (GaussianWindowAttention, {}),
    "location": (LocationAttention, {}),
    "local": (LocalAttention, {}),
    "location_sensitive": (LocationSensitiveAttention, {}),
    "linear_attention": (LinearAttention, {"num_heads": 4}),
    "retention": (Retention, {"num_heads": 4}),
    "gated_linear_attention": (GatedLinearAttention, {"num_heads": 4}),
    "delta_rule": (DeltaRule, {"num_heads": 4}),
    "key_value_memory": (KeyValueMemory, {"slots": 8, "hops": 2}),
    "persistent_memory": (PersistentMemory, {"num_heads": 4}),
    "hopfield": (Hopfield, {"num_heads": 4, "updates": 3}),
    # These two are read by each position alone: they stand beside a mixer, in a list of specs.
    "hopfield_lookup": (HopfieldLookup, {"num_heads": 4}),
    "product_key": (ProductKeyMemory, {"half_keys": 32, "k": 8, "key_dim": 32}),
    # What lies a few positions back is remembered already: most of the work is the memory's.
    "nearest_memory": (NearestMemory, {"num_heads": 4, "segment_length": 4}),
    "segment_memory": (SegmentMemory, {"num_heads": 4}),
    "neural_turing_machine": (NeuralTuringMachine, {}),
    "differentiable_neural_computer": (DifferentiableNeuralComputer, {}),
    "lstm": (Recurrent, {"cell": "lstm"}),
    "gru": (Recurrent, {"cell": "gru"}),
    "gated_conv": (GatedConvolution, {"kernel_size": 7}),
    "linear_recurrence": (LinearRecurrence, {}),
    "min_gru": (MinGRU, {}),
    "min_lstm": (MinLSTM, {}),
    "rg_lru": (RealGatedLRU, {}),
    "token_mlp": (TokenMLP, {}),
    "rwkv": (RWKV, {}),
    "token_shift": (TokenShift, {}),
    "s4d": (S4D, {}),
    "s5": (S5, {}),
    "selective_state_space": (SelectiveStateSpace, {}),
    "depthwise_conv": (DepthwiseConvolution, {"kernel_size": 7}),
    "long_conv": (LongConvolution, {}),
    "gmlp": (GatedMLP, {}),
    "fourier": (Fourier, {}),
    "across_grid": (AcrossGrid, {"rows": TWO_WAYS, "columns": TWO_WAYS}),
    "identity": (Identity, {}),
    "pooling": (Pooling, {}),
}


def names(kind=None):
    """The names in the table; with `kind` "explicit", "implicit" or "control", those of that kind."""
    return tuple(name for name in MIXERS if kind in (None, kind_of(name)))


def kind_of(spec):
    """Which kind a spec's mechanism is of: "explicit", "implicit" or "control"."""
    mixer_class = MIXERS[resolve(spec)["mixer"]][0]
    return "control" if mixer_class.control else mixer_class.kind


def resolve(spec):
    """The whole spec, defaults filled in: `{"mixer": name, **options}`.

    Raises:
        ValueError: for a name or an option that is not known; the message names near ones.
    """
    name, given = read_spec("mixer", spec, MIXERS, lambda name: options(MIXERS[name][0]))
    mixer_class, defaults = MIXERS[name]
    chosen = {**defaults, **given}
    return {"mixer": name, **chosen, **{part: resolve(chosen[part]) for part in mixer_class.parts}}


def get(spec, **kwargs):
    """The layer that a spec describes, new and without weights.

    Args:
        spec: a name, or `{"mixer": name, **options}`.
        **kwargs: what any Keras layer takes: `name`, `dtype`, `trainable`.

    Returns:
        A `keras_attn.mixer.Mixer`.

    Raises:
        ValueError: for a name or an option that is not known, or an option with a value that is not possible.

    Example:
    >>> get({"mixer": "multi_head", "num_heads": 2}).num_heads
    2
    """
    chosen = resolve(spec)
    mixer_class = MIXERS[chosen.pop("mixer")][0]
    policy = {"dtype": kwargs["dtype"]} if "dtype" in kwargs else {}
    parts = {part: get(chosen.pop(part), **policy) for part in mixer_class.parts}
    return mixer_class(**parts, **chosen, **kwargs)


def options(mixer_class):
    """The names of the options of a mixer class, its own and those it inherits."""
    found = {}
    for ancestor in mixer_class.__mro__[: mixer_class.__mro__.index(Mixer)]:
        found.update(inspect.signature(ancestor.__init__).parameters)
    return tuple(name for name in found if name not in ("self", "kwargs"))


def register(name, mixer_class, **defaults):
    """Adds a mechanism of your own to the table, for builders and searches to find.

    Args:
        name: a name that is not taken.
        mixer_class: a subclass of `keras_attn.mixer.Explicit` or `Implicit`.
        **defaults: options it has unless told otherwise.
    """
    if name in MIXERS:
        raise ValueError(f"There is a mixer {name!r} already: {MIXERS[name][0].__name__}.")
    if not (isinstance(mixer_class, type) and issubclass(mixer_class, Mixer)):
        raise ValueError(f"A mixer is a subclass of keras_attn.mixer.Mixer. Received: {mixer_class!r}")
    for option in defaults:
        choose(f"option of {name!r}", option, options(mixer_class))
    MIXERS[name] = (mixer_class, defaults)
