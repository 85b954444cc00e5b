import keras
from keras import ops

from keras_attn.implicit import _grid
from keras_attn.mixer import Implicit, Mixer


@keras.saving.register_keras_serializable(package="keras_attn")
class AcrossGrid(Implicit):
    """A mixer along each row of an image, then one along each column of what comes out: any two positions meet.

    `y = columns(rows(x))`, where each row is a sequence of its own to the one and each column to the other. With
    recurrences of both directions it is the four scans of ReNet, with convolutions it is a separable one, with
    `token_mlp` an MLP-Mixer by axes.

    Args:
        rows: an implicit mixer, which sees one row at a time. In a spec it is a spec.
        columns: another one, which sees one column at a time.
        grid: `[H, W]`; the positions are those of H rows with W columns, row after row. None for what is nearest to a
            square; the models of images in the zoo fill in what they have.

    Call arguments:
        inputs: `(B, T, D)`, T = H W.
        mask: boolean `(B, T)`, True for real positions.
        use_causal_mask: whether a position may depend on those in no later row and no later column only; refused if
            one of the two mixers cannot be causal.

    Returns:
        `(B, T, D)`, zero at padded positions.

    Example:
    >>> from keras_attn import MinGRU
    >>> layer = AcrossGrid(MinGRU(bidirectional=True), MinGRU(bidirectional=True), grid=[2, 7])
    >>> tuple(layer(keras.random.normal((2, 14, 5))).shape)
    (2, 14, 5)

    Reference: Visin et al., 2015, https://arxiv.org/abs/1505.00393, section 2 (there without projections to patches).
    """

    fixed_length = True
    parts = ("rows", "columns")

    def __init__(self, rows, columns, grid=None, **kwargs):
        super().__init__(**kwargs)
        self.rows, self.columns = _check("rows", rows), _check("columns", columns)
        if self.rows is self.columns:
            raise ValueError("`rows` and `columns` must be two layers. Received: the same one twice.")
        self.grid = _grid.check(grid)

    @property
    def can_be_causal(self):
        return self.rows.can_be_causal and self.columns.can_be_causal

    def build(self, input_shape):
        self._sides = _grid.fitting(self.grid, input_shape)
        for layer, length in zip((self.rows, self.columns), reversed(self._sides)):
            layer.build((None, length, input_shape[-1]))
        self.built = True

    def compute_mix(self, inputs, mask, causal, training):
        x, real = (None if y is None else _grid.unflat(y, self._sides) for y in (inputs, mask))
        options = {"use_causal_mask": causal, "training": training}
        x = _along_rows(self.rows, x, real, options)
        # (B, H, W, ...) -> (B, W, H, ...)
        x, real = (None if y is None else ops.swapaxes(y, 1, 2) for y in (x, real))
        return _grid.flat(ops.swapaxes(_along_rows(self.columns, x, real, options), 1, 2))

    def get_config(self):
        return {
            **super().get_config(),
            "rows": _config(self.rows),
            "columns": _config(self.columns),
            "grid": None if self.grid is None else list(self.grid),
        }


def _check(name, layer):
    layer = keras.saving.deserialize_keras_object(layer) if isinstance(layer, dict) else layer
    if not isinstance(layer, Mixer) or layer.kind != "implicit":
        raise ValueError(
            f"Invalid argument `{name}`: it must be an implicit mixer. (Attention along rows and columns is "
            f'{{"mixer": "multi_head", "pattern": "axial"}}.) Received: {name}={layer!r}'
        )
    return layer


def _config(layer):
    # Not with the shape it was built with: this layer builds it.
    config = keras.saving.serialize_keras_object(layer)
    return {key: value for key, value in config.items() if key != "build_config"}


def _along_rows(mixer, x, real, options):
    """`(B, H, W, D)`, each row of it mixed by itself."""
    # (B H, W, ...)
    rows, mask = (None if y is None else ops.reshape(y, (-1, *y.shape[2:])) for y in (x, real))
    return ops.reshape(mixer(rows, mask=mask, **options), (-1, *x.shape[1:]))
