"""A layer without options of its own."""

import keras


class PlainLayer(keras.layers.Layer):
    """A layer whose configuration is that of any layer.

    Keras guesses the configuration of a layer that does not say it, and refuses a dtype policy that was given as one.
    """

    def get_config(self):
        return dict(super().get_config())
