"""What may vary, per mixer, as data; and how a search draws from it.

The first value of an option is the one that is tried first. What is not named here stays as `keras_attn.mixers` has it.
Every combination of options is another graph to compile, which on a CPU costs as much as training a small model: name
only what is known to matter.
"""

OPTIONS = {
    "multi_head": {"num_heads": (4, 2)},
    "additive": {"units": (32, 64)},
    "multiplicative": {"score": ("general", "scaled_dot")},
    "key_value_memory": {"slots": (8, 16)},
    "persistent_memory": {"slots": (16, 64)},
    "hopfield": {"updates": (3, 1)},
    "hopfield_lookup": {"slots": (64, 256)},
    "product_key": {"half_keys": (32, 64)},
    "nearest_memory": {"segment_length": (4, 16)},
    "segment_memory": {"segment_length": (64, 16)},
    "neural_turing_machine": {"slots": (32, 64)},
    "differentiable_neural_computer": {"slots": (32, 64)},
    "monotonic": {"score_bias": (0.0, -2.0)},
    "monotonic_chunkwise": {"chunk_width": (4, 8)},
    "gaussian_window": {"components": (10, 3)},
    "local": {"alignment": ("predictive", "monotonic")},
    "location_sensitive": {"cumulative": (False, True)},
    "linear_attention": {"feature_map": ("elu", "exp")},
    "retention": {"num_heads": (4, 2)},
    "gated_linear_attention": {"num_heads": (4, 2)},
    "delta_rule": {"gated": (False, True)},
    "stochastic_hard": {"soft_chance": (0.5, 0.0)},
    "lstm": {"bidirectional": (True, False)},
    "gru": {"bidirectional": (True, False)},
    "linear_recurrence": {"bidirectional": (True, False)},
    "min_gru": {"bidirectional": (True, False)},
    "min_lstm": {"bidirectional": (True, False)},
    "rg_lru": {"bidirectional": (True, False)},
    "s4d": {"bidirectional": (True, False)},
    "s5": {"bidirectional": (True, False)},
    "selective_state_space": {"bidirectional": (True, False)},
    "gated_conv": {"kernel_size": (7, 3)},
    "depthwise_conv": {"kernel_size": (7, 3)},
    "long_conv": {"positions": (1024, 64)},
}


def declare(hp, family, task):
    """Declares what may vary for a family in keras-tuner's terms: its options in a scope of its own.

    Args:
        hp: a `keras_tuner.HyperParameters`.
        family: a `tuning.families.Family`.
        task: a `tuning.task.Task`.
    """
    hp.Choice("mixer", [family.name])
    with hp.conditional_scope("mixer", [family.name]):
        low, first, high = task.learning_rates
        hp.Float("learning_rate", low, high, sampling="log", default=first)
        hp.Choice("dropout", list(task.dropouts), default=task.dropouts[0])
        for index, spec in enumerate(family.specs):
            for option, choices in free_options(spec, task).items():
                _declare_option(hp, f"{index}/{spec['mixer']}/{option}", choices)


def _declare_option(hp, name, choices):
    # A `Choice` would turn true and false into 1 and 0.
    if isinstance(choices[0], bool):
        hp.Boolean(name, default=choices[0])
    else:
        hp.Choice(name, list(choices), default=choices[0])


def free_options(spec, task):
    """The options of a mixer that the search chooses: those in the table that the spec leaves open."""
    table = OPTIONS.get(spec["mixer"], {})
    return {
        option: choices
        for option, choices in table.items()
        # What reads both ways cannot answer before it has seen the end.
        if option not in spec and not (task.causal and option == "bidirectional")
    }


def defaults(family, task):
    """The values that are tried first, by the names that `declare` gives them."""
    return {
        f"{index}/{spec['mixer']}/{option}": choices[0]
        for index, spec in enumerate(family.specs)
        for option, choices in free_options(spec, task).items()
    }


def realise(family, values):
    """The mixers' specs with the values that were drawn: one spec, or for a hybrid a list."""
    specs = [dict(spec) for spec in family.specs]
    for index, spec in enumerate(specs):
        start = f"{index}/{spec['mixer']}/"
        # keras-tuner's workers hand over what belongs to other families too.
        own = {name.removeprefix(start): value for name, value in values.items() if name.startswith(start)}
        spec.update({option: value for option, value in own.items() if option not in spec})
    return specs if len(specs) > 1 else specs[0]
