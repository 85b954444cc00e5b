import keras

from keras_attn.lookup import whole_number


class LinearStart(keras.callbacks.Callback):
    """Trains the memories of a model without softmax at first, and puts it in when the loss no longer falls.

    While a memory is linear its whole model is, but for the answer's softmax, and is less easily caught in a poor
    minimum. Training that ends before leaves the memory linear, as it was trained. The callback works on all layers of
    the model that have `can_be_linear`, such as `EndToEndMemory`.

    Args:
        monitor: the loss that is watched, a name from the logs.
        patience: after how many epochs without a new least value the softmax is put in, at least 1. A loss that rests
            on a plateau is not done: where facts must be chained, more patience, or as much as `epochs`, may be needed.
        epochs: the most epochs without softmax, at least 1; None for no limit.

    Attributes:
        switched: the epoch, counted from 0, after which the softmax was put in; None before.

    Example:
    >>> LinearStart(patience=2).monitor
    'val_loss'

    Reference: Sukhbaatar et al., 2015, https://arxiv.org/abs/1503.08895, section 4.2.
    """

    def __init__(self, monitor="val_loss", patience=1, epochs=None):
        super().__init__()
        self.monitor = monitor
        self.patience = whole_number("patience", patience)
        self.epochs = whole_number("epochs", epochs, optional=True)
        self.switched = None

    def on_train_begin(self, logs=None):
        self.switched, self._least, self._waited, self._passed = None, float("inf"), 0, 0
        self._set(1.0)

    def on_epoch_end(self, epoch, logs=None):
        if self.switched is not None:
            return
        if self.monitor not in (logs or {}):
            raise ValueError(
                f"LinearStart watches {self.monitor!r}, which is not in the logs; `fit` logs val_loss if it has "
                f"`validation_data`. Received: {sorted(logs or {})}"
            )
        better = logs[self.monitor] < self._least
        self._least = min(self._least, logs[self.monitor])
        self._waited = 0 if better else self._waited + 1
        self._passed += 1
        if self._waited >= self.patience or self._passed == self.epochs:
            self.switched = epoch
            self._set(0.0)

    def _set(self, value):
        layers = [layer for layer in self.model._flatten_layers() if getattr(layer, "can_be_linear", False)]
        if not layers:
            raise ValueError("LinearStart needs a model with a memory that can be linear, such as `EndToEndMemory`.")
        for layer in layers:
            layer.linear.assign(value)
