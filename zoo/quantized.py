"""Models can be quantized, and come back so from their files, on any backend."""

import contextlib
import gc
import re

import keras

from zoo.heads import TiedLogits


class Quantizable:
    """Remembers in its configuration which of its layers `quantize` changed, and how.

    Stands before KerasHub's class among the bases of a model. KerasHub itself remembers a map from paths of layers to
    their dtype policies, for its models hand theirs to each layer; here a block makes its own layers.
    """

    def quantize(self, mode=None, config=None, filters=None, **kwargs):
        """As Keras's, but for layers that cannot be: those of preprocessors, and tables that make logits too."""
        tied = {id(layer.embedding) for layer in self._flatten_layers() if isinstance(layer, TiedLogits)}

        def can_be(layer):
            return layer.built and id(layer) not in tied and _is_wanted(layer, filters)

        with _nothing_old_collected():
            return super().quantize(mode, config=config, filters=can_be, **kwargs)

    def get_config(self):
        return self.with_quantized(super().get_config())

    def with_quantized(self, config):
        """The configuration with what was quantized, if anything was."""
        if "dtype" in config:
            config["dtype"] = keras.dtype_policies.serialize(self.dtype_policy)
        changed = {place: _how(layer) for place, layer in _own_layers(self).items() if layer.quantization_mode}
        if not changed:
            return config
        return {**config, "quantized": {"layers": changed, "classes": getattr(self, "num_classes", None)}}

    @classmethod
    def from_config(cls, config):
        model = super().from_config({name: value for name, value in config.items() if name != "quantized"})
        quantized = config.get("quantized", {"layers": {}})
        # A head of other classes is a new one, to be trained.
        if quantized["layers"] and quantized["classes"] == getattr(model, "num_classes", None):
            layers = _own_layers(model)
            with _nothing_old_collected():
                for place, how in quantized["layers"].items():
                    _quantize(layers.get(place), place, how, cls.__name__)
        return model


@contextlib.contextmanager
def _nothing_old_collected():
    """While it lasts garbage is looked for among what is new: Keras looks at each layer that it quantizes."""
    frozen = gc.get_freeze_count()
    if not frozen:
        gc.freeze()
    try:
        yield
    finally:
        if not frozen:
            gc.unfreeze()


def _is_wanted(layer, filters):
    """What Keras says of `filters`: patterns for a layer's name, or a function of the layer."""
    if filters is None or callable(filters):
        return filters is None or filters(layer)
    return any(re.search(pattern, layer.name) for pattern in ([filters] if isinstance(filters, str) else filters))


def _own_layers(model):
    """The layers in it by their places, without those of its backbone, which remembers its own, and preprocessor."""
    backbone = getattr(model, "backbone", None)
    seen = set() if backbone is None else {id(layer) for layer in backbone._flatten_layers()}
    return dict(_walk(model, "", seen))


def _walk(layer, place, seen):
    """Places and layers: in a model a layer has its name, in a layer the number in which it came."""
    named = isinstance(layer, keras.Model)
    for name, part in ((part.name, part) for part in layer.layers) if named else enumerate(layer._layers):
        if id(part) not in seen:
            seen.add(id(part))
            yield f"{place}{name}", part
            yield from _walk(part, f"{place}{name}/", seen)


def _how(layer):
    quantization = keras.saving.serialize_keras_object(getattr(layer, "quantization_config", None))
    return {"kind": type(layer).__name__, "mode": layer.quantization_mode, "config": quantization}


def _quantize(layer, place, how, name):
    """Quantizes the layer that is meant; its weights are read afterwards."""
    found = type(layer).__name__ if layer is not None else "nothing"
    if found != how["kind"]:
        raise ValueError(
            f"At {place!r} the quantized {name} is not what it was when it was saved, by another version. "
            f"Expected: {how['kind']}. Received: {found}"
        )
    layer.quantize(how["mode"], config=keras.saving.deserialize_keras_object(how["config"]))
