"""What a mixer is where one text becomes another: in the encoder, in the decoder, and between them."""


def both_sides(mixer):
    """What a mixer, or a hybrid, is where one text becomes another: an explicit one reads the source too.

    Implicit ones and controls leave the decoder with a summary of the source, as before there was attention; a hybrid
    moves information by what is implicit in it and reads by what is explicit.

    Args:
        mixer: a spec, or a list of them.

    Returns:
        A dict of arguments of `zoo.MixerSeq2SeqBackbone`.

    Example:
    >>> both_sides(("gru", "multi_head"))
    {'encoder_mixer': ['gru'], 'decoder_mixer': ['gru'], 'reader': 'multi_head'}
    """
    from keras_attn import mixers

    specs = mixer if isinstance(mixer, (list, tuple)) else [mixer]
    readers = [spec for spec in specs if mixers.kind_of(spec) == "explicit"]
    movers = [spec for spec in specs if spec not in readers] or readers
    # A decoder sees nothing that comes later.
    ahead = [
        {name: value for name, value in spec.items() if name != "bidirectional"} if isinstance(spec, dict) else spec
        for spec in movers
    ]
    return {"encoder_mixer": movers, "decoder_mixer": ahead, "reader": readers[0] if readers else None}
