"""Models that were quantized come back quantized from their files."""

import keras


class Quantizable:
    """Remembers in its configuration which of its layers `quantize` changed, and how.

    Stands before KerasHub's class among the bases of a model. KerasHub itself remembers a map from paths of layers to
    their dtype policies, for its models hand theirs to each layer; here a block makes its own layers.
    """

    def get_config(self):
        return self.with_quantized(super().get_config())

    def with_quantized(self, config):
        """The configuration with what was quantized, if anything was."""
        if "dtype" in config:
            config["dtype"] = keras.dtype_policies.serialize(self.dtype_policy)
        changed = [{"layer": n, **_how(layer)} for n, layer in enumerate(_own_layers(self)) if layer.quantization_mode]
        return {**config, "quantized": changed} if changed else config

    @classmethod
    def from_config(cls, config):
        model = super().from_config({name: value for name, value in config.items() if name != "quantized"})
        layers = _own_layers(model)
        for how in config.get("quantized", []):
            _quantize(layers, how, cls.__name__)
        return model


def _own_layers(model):
    """Its layers and those in them, always in one order, without those of its backbone, which remembers its own."""
    backbone = getattr(model, "backbone", None)
    others = set() if backbone is None else {id(layer) for layer in backbone._flatten_layers()}
    return [layer for layer in model._flatten_layers(include_self=False) if id(layer) not in others]


def _how(layer):
    quantization = keras.saving.serialize_keras_object(getattr(layer, "quantization_config", None))
    return {"kind": type(layer).__name__, "mode": layer.quantization_mode, "config": quantization}


def _quantize(layers, how, name):
    """Quantizes the layer that is meant; its weights are read afterwards."""
    place = how["layer"]
    found = type(layers[place]).__name__ if place < len(layers) else f"{len(layers)} layers"
    if found != how["kind"]:
        raise ValueError(
            f"Layer {place} of the quantized {name} is not what it was when it was saved, by another version. "
            f"Expected: {how['kind']}. Received: {found}"
        )
    layers[place].quantize(how["mode"], config=keras.saving.deserialize_keras_object(how["config"]))
