"""Speech in, labels out: converter of sound waves, preprocessor, backbone and classifier."""

import keras
import keras_hub
import numpy as np
from keras import ops

from keras_attn import masks
from keras_attn.lookup import plain, whole_number
from zoo.backbone import MixerBackbone, check_stack, stack
from zoo.fitting import PreparedAtOnce
from zoo.heads import MaskedMean, compile_arguments
from zoo.quantized import Quantizable
from zoo.sound import HiddenSpans, LogMel


@keras.saving.register_keras_serializable(package="zoo")
class FrameStem(keras.layers.Layer):
    """Frames to tokens: a convolution over time in strides, or with a width of 1 a dense layer.

    Token i sees `width` frames around those from `i * stride` to `(i + 1) * stride - 1`, or up to them if causal; and
    zeros beyond the ends and at padded frames. A convolution is followed by gelu and a dense layer.

    Args:
        units: width D of a token, at least 1.
        width: how many frames a token sees, at least `stride`.
        stride: how many frames make one token, at least 1.
        causal: whether a token sees no frame after its own.

    Call arguments:
        inputs: `(B, T, C)`.
        padding_mask: `(B, T)`, nonzero for real frames.

    Returns:
        `(B, ceil(T / stride), units)`.

    Example:
    >>> stem = FrameStem(units=5, width=4, stride=2)
    >>> tuple(stem(keras.random.normal((2, 7, 3)), keras.ops.ones((2, 7))).shape)
    (2, 4, 5)
    """

    def __init__(self, units, width=1, stride=1, causal=False, **kwargs):
        super().__init__(**kwargs)
        self.units = whole_number("units", units)
        self.stride = whole_number("stride", stride)
        self.width = whole_number("width", width, least=stride)
        self.causal = causal

    def build(self, input_shape):
        self.dense = keras.layers.Dense(self.units, name="dense", dtype=self.dtype_policy)
        self.convolution = None
        if self.width > 1:
            self.convolution = keras.layers.Conv1D(
                self.units,
                self.width,
                strides=self.stride,
                activation="gelu",
                data_format="channels_last",
                name="convolution",
                dtype=self.dtype_policy,
            )
            self.convolution.build((input_shape[0], None, input_shape[-1]))
        self.dense.build((*input_shape[:-1], input_shape[-1] if self.convolution is None else self.units))
        self.built = True

    def call(self, inputs, padding_mask):
        x = masks.zero(inputs, padding_mask)
        if self.convolution is not None:
            spare = self.width - self.stride
            before = spare if self.causal else spare // 2
            # One frame less than the width in all, so that ceil(T / stride) windows fit.
            x = self.convolution(ops.pad(x, ((0, 0), (before, self.width - 1 - before), (0, 0))))
        return self.dense(x)

    def compute_output_shape(self, input_shape):
        steps = input_shape[1]
        return (input_shape[0], None if steps is None else -(-steps // self.stride), self.units)

    def get_config(self):
        return {
            **super().get_config(),
            "units": self.units,
            "width": self.width,
            "stride": self.stride,
            "causal": self.causal,
        }


@keras.saving.register_keras_serializable(package="zoo")
class MixerSpeechBackbone(MixerBackbone):
    """Frames of speech to a vector at each token: a stem, positions, and the zoo's residual stack.

    Args:
        channels: C, how many numbers a frame has, at least 1.
        sequence_length: T, how many frames there are, for mixers that work for one length only; None for any number.
        subsampling: how many frames make one token, at least 1.
        stem_width: how many frames a token sees before the stack, at least `subsampling`; 1 for its own alone.
        hidden_dim: width D, at least 1.
        num_layers: how many layers, at least 1.
        mixer: a name or a spec from `keras_attn.mixers`, or a list of them (a hybrid), taken in turn by the layers.
        mlp_ratio: hidden width of the network at each position over D, above 0.
        short_convolution: how many positions the convolution before each mixer sees; 0 for none.
        positions: "sinusoid", or None to leave order to the mixers.
        causal: whether a token sees no later frame, as speech must be heard that is not over yet.
        dropout: share of each branch dropped in training, in [0, 1).
        hidden_frames, hidden_bands: the largest spans of time and of bands that are hidden in training, at least 0; see
            `zoo.sound.HiddenSpans`.
        dtype: dtype or dtype policy of computations and weights.

    Call arguments:
        inputs: a dict of `"frames"`, `(B, T, C)`, and `"padding_mask"`, int or boolean `(B, T)`, nonzero for real
            frames, which come first. What stands at padded frames never changes an answer.

    Returns:
        `(B, ceil(T / subsampling), D)`. A token is real if its first frame is.

    Example:
    >>> backbone = MixerSpeechBackbone(channels=3, subsampling=2, stem_width=4, mixer="gru")
    >>> frames = keras.random.normal((5, 7, 3))
    >>> tuple(backbone({"frames": frames, "padding_mask": keras.ops.ones((5, 7))}).shape)
    (5, 4, 64)
    """

    def __init__(
        self,
        channels,
        sequence_length=None,
        subsampling=1,
        stem_width=1,
        hidden_dim=64,
        num_layers=2,
        mixer="multi_head",
        mlp_ratio=2.0,
        short_convolution=3,
        positions="sinusoid",
        causal=False,
        dropout=0.0,
        hidden_frames=0,
        hidden_bands=0,
        dtype=None,
        **kwargs,
    ):
        mixer = plain(mixer)
        whole_number("channels", channels)
        whole_number("subsampling", subsampling)
        whole_number("stem_width", stem_width, least=subsampling)
        whole_number("sequence_length", sequence_length, optional=True)
        tokens = None if sequence_length is None else -(-sequence_length // subsampling)
        check_stack(mixer, num_layers, hidden_dim, mlp_ratio, short_convolution, positions, causal, tokens)

        # === Functional Model ===
        frames = keras.Input(shape=(sequence_length, channels), name="frames")
        padding_mask = keras.Input(shape=(sequence_length,), dtype="int32", name="padding_mask")
        x = HiddenSpans(hidden_frames, hidden_bands, dtype=dtype, name="hidden_spans")(frames, padding_mask)
        stem = FrameStem(hidden_dim, stem_width, subsampling, causal, dtype=dtype, name="stem")
        outputs = stack(
            stem(x, padding_mask),
            padding_mask[:, ::subsampling],
            mixer=mixer,
            num_layers=num_layers,
            mlp_ratio=mlp_ratio,
            short_convolution=short_convolution,
            positions=positions,
            causal=causal,
            dropout=dropout,
            dtype=dtype,
        )
        inputs = {"frames": frames, "padding_mask": padding_mask}
        super().__init__(inputs=inputs, outputs=outputs, dtype=dtype, **kwargs)

        # === Config ===
        self.channels = channels
        self.sequence_length = sequence_length
        self.subsampling = subsampling
        self.stem_width = stem_width
        self.hidden_dim = hidden_dim
        self.num_layers = num_layers
        self.mixer = mixer
        self.mlp_ratio = mlp_ratio
        self.short_convolution = short_convolution
        self.positions = positions
        self.causal = causal
        self.dropout = dropout
        self.hidden_frames = hidden_frames
        self.hidden_bands = hidden_bands

    def get_config(self):
        return {
            **super().get_config(),
            "channels": self.channels,
            "sequence_length": self.sequence_length,
            "subsampling": self.subsampling,
            "stem_width": self.stem_width,
            "hidden_dim": self.hidden_dim,
            "num_layers": self.num_layers,
            "mixer": plain(self.mixer),
            "mlp_ratio": self.mlp_ratio,
            "short_convolution": self.short_convolution,
            "positions": self.positions,
            "causal": self.causal,
            "dropout": self.dropout,
            "hidden_frames": self.hidden_frames,
            "hidden_bands": self.hidden_bands,
        }


@keras.saving.register_keras_serializable(package="zoo")
class MixerAudioConverter(keras_hub.layers.AudioConverter):
    """Sound waves of any lengths to frames of log-mel energies, each wave as `zoo.sound.LogMel` makes it alone.

    Args:
        sample_rate, window, hop, bands, low, high, floor: see `zoo.sound.LogMel`.

    Call arguments:
        audio: waves, a list of arrays `(N,)` or an array `(B, N)`: numbers between -1 and 1, or whole numbers of 8 or
            16 bits, which are brought there.

    Returns:
        A list of float32 arrays `(T, bands)`.

    Example:
    >>> converter = MixerAudioConverter(sample_rate=8000, bands=40)
    >>> [frames.shape for frames in converter([np.zeros(800), np.zeros(1000)])]
    [(10, 40), (13, 40)]
    """

    backbone_cls = MixerSpeechBackbone
    #: How many waves are converted at once.
    BATCH = 64

    def __init__(self, sample_rate=16000, window=0.025, hop=0.01, bands=80, low=20.0, high=None, floor=1e-3, **kwargs):
        super().__init__(**kwargs)
        self.options = {
            "sample_rate": sample_rate,
            "window": window,
            "hop": hop,
            "bands": bands,
            "low": low,
            "high": high,
            "floor": floor,
        }
        self.log_mel = LogMel(**self.options, name="log_mel")
        self.built = True

    def audio_shape(self):
        return (None, self.log_mel.bands)

    def call(self, audio):
        waves = [_as_wave(wave) for wave in audio]
        found = []
        for first in range(0, len(waves), self.BATCH):
            some = waves[first : first + self.BATCH]
            padded = np.zeros((len(some), max(map(len, some))), "float32")
            for row, wave in zip(padded, some):
                row[: len(wave)] = wave
            frames = ops.convert_to_numpy(self.log_mel(ops.convert_to_tensor(padded)))
            found += [each[: -(-len(wave) // self.log_mel.hop_samples)] for each, wave in zip(frames, some)]
        return found

    def get_config(self):
        return {**super().get_config(), **plain(self.options)}


def _as_wave(wave):
    wave = np.asarray(wave)
    if wave.ndim != 1 or not len(wave):
        raise ValueError(f"A wave is an array of samples, (N,), at least one. Received: an array of {wave.shape}")
    if wave.dtype in (np.int8, np.int16):
        return wave.astype("float32") / -np.iinfo(wave.dtype).min
    if not np.issubdtype(wave.dtype, np.floating):
        raise ValueError(f"Samples are floating point, or int16 or int8. Received: {wave.dtype}")
    return wave.astype("float32")


class SpeechPreprocessor(keras_hub.models.Preprocessor):
    """What the preprocessors of all models of speech share: sound to standardised frames in one array.

    Args:
        audio_converter: a `MixerAudioConverter`; None if frames come, not waves.
        mean, deviation: of each channel, C numbers each, the deviations above 0, as `measure` finds them; None to leave
            frames as they are.
        center: whether the mean of each channel over its own recording is taken away first, against the differences of
            microphones and rooms. What is not over yet has no such mean.
        sequence_length: T, for models of one length: longer recordings are cut, shorter ones padded; None for the
            longest of those that come together.

    Call arguments:
        x: waves, as for the converter, or frames: a list of arrays `(T, C)` or an array `(B, T, C)`. What is prepared
            already, a dict, passes.
        y, sample_weight: passed through.

    Returns:
        `{"frames": (B, T, C), "padding_mask": (B, T)}`, and what else came.
    """

    backbone_cls = MixerSpeechBackbone
    audio_converter_cls = MixerAudioConverter

    def __init__(self, audio_converter=None, mean=None, deviation=None, center=False, sequence_length=None, **kwargs):
        super().__init__(**kwargs)
        self.audio_converter = audio_converter
        self.mean, self.deviation = (
            None if numbers is None else [float(each) for each in numbers] for numbers in (mean, deviation)
        )
        if len(self.mean or []) != len(self.deviation or []) or not min(self.deviation or [1]) > 0:
            raise ValueError(
                "`mean` and `deviation` must have as many numbers, the deviations above 0. "
                f"Received: mean={self.mean}, deviation={self.deviation}"
            )
        self.center = center
        self.sequence_length = whole_number("sequence_length", sequence_length, optional=True)
        self.built = True

    def call(self, x, y=None, sample_weight=None):
        if isinstance(x, dict):
            return keras.utils.pack_x_y_sample_weight(x, y, sample_weight)
        recordings = self.frames(x)
        if self.mean is not None:
            mean, deviation = (np.array(numbers, "float32") for numbers in (self.mean, self.deviation))
            recordings = [(frames - mean) / deviation for frames in recordings]
        return keras.utils.pack_x_y_sample_weight(_pad(recordings, self.sequence_length), y, sample_weight)

    def frames(self, x):
        """The frames of each recording, before they are standardised: a list of arrays `(T, C)`."""
        if isinstance(x, str) or not len(x) or np.ndim(x[0]) == 0:
            raise ValueError(
                f"Recordings come in a list or an array of them, at least one. Received: {type(x).__name__}"
            )
        recordings = x if self.audio_converter is None else self.audio_converter(x)
        recordings = [np.asarray(frames, dtype="float32") for frames in recordings]
        wrong = [frames.shape for frames in recordings if frames.ndim != 2 or not len(frames)]
        if wrong:
            raise ValueError(
                "Without an `audio_converter` a recording is an array of frames, (T, C), at least one. "
                f"Received: an array of {wrong[0]}"
            )
        return [frames - frames.mean(axis=0) for frames in recordings] if self.center else recordings

    def measure(self, x):
        """Measures recordings, which from now on are what has mean 0 and deviation 1 in each channel."""
        every = np.concatenate(self.frames(x)).astype("float64")
        self.mean = every.mean(axis=0).tolist()
        self.deviation = (every.std(axis=0) + 1e-6).tolist()

    def get_config(self):
        return {
            **super().get_config(),
            "mean": None if self.mean is None else list(self.mean),
            "deviation": None if self.deviation is None else list(self.deviation),
            "center": self.center,
            "sequence_length": self.sequence_length,
        }


def _pad(recordings, length):
    length = length or max(map(len, recordings))
    frames = np.zeros((len(recordings), length, recordings[0].shape[1]), "float32")
    mask = np.zeros(frames.shape[:2], "int32")
    for row, each in enumerate(recordings):
        each = each[:length]
        frames[row, : len(each)] = each
        mask[row, : len(each)] = 1
    return {"frames": frames, "padding_mask": mask}


@keras.saving.register_keras_serializable(package="zoo")
class MixerSpeechClassifierPreprocessor(SpeechPreprocessor):
    """Recordings to the backbone's frames, for labels: see `zoo.speech.SpeechPreprocessor`.

    Example:
    >>> preprocessor = MixerSpeechClassifierPreprocessor(MixerAudioConverter(sample_rate=8000, bands=40))
    >>> preprocessor([np.zeros(800), np.zeros(1000)])["padding_mask"].sum(axis=1).tolist()
    [10, 13]
    """


@keras.saving.register_keras_serializable(package="zoo")
class MixerSpeechClassifier(PreparedAtOnce, Quantizable, keras_hub.models.Task):
    """Speech to the logits of classes, such as key words: the backbone, the mean over real tokens, a dense layer.

    Args:
        backbone: a `MixerSpeechBackbone`.
        num_classes: how many classes, at least 1.
        preprocessor: a `MixerSpeechClassifierPreprocessor`; None if frames come as the backbone wants them.
        dropout: share of the mean dropped in training, in [0, 1).

    Call arguments:
        inputs: as for the backbone. `fit`, `evaluate` and `predict` take recordings if there is a preprocessor.

    Returns:
        `(B, num_classes)`.

    Example:
    >>> preprocessor = MixerSpeechClassifierPreprocessor(MixerAudioConverter(sample_rate=8000, bands=40))
    >>> classifier = MixerSpeechClassifier(MixerSpeechBackbone(40, mixer="gru"), 10, preprocessor)
    >>> classifier.predict([np.zeros(800), np.zeros(1000)], verbose=0).shape
    (2, 10)
    """

    backbone_cls = MixerSpeechBackbone
    preprocessor_cls = MixerSpeechClassifierPreprocessor

    def __init__(self, backbone, num_classes, preprocessor=None, dropout=0.0, **kwargs):
        # === Layers ===
        self.backbone = backbone
        self.preprocessor = preprocessor
        policy = {"dtype": backbone.dtype_policy}
        self.pooler = MaskedMean(name="pooler", **policy)
        self.output_dropout = keras.layers.Dropout(dropout, name="output_dropout", **policy)
        self.output_dense = keras.layers.Dense(num_classes, name="logits", **policy)

        # === Functional Model ===
        inputs = backbone.input
        mask = inputs["padding_mask"][:, :: backbone.subsampling]
        outputs = self.output_dense(self.output_dropout(self.pooler(backbone(inputs), padding_mask=mask)))
        super().__init__(inputs=inputs, outputs=outputs, **kwargs)

        # === Config ===
        self.num_classes = num_classes
        self.dropout = dropout

    def compile(self, optimizer="auto", loss="auto", *, metrics="auto", **kwargs):
        super().compile(**compile_arguments(optimizer, loss, metrics), **kwargs)

    def get_config(self):
        return {**super().get_config(), "num_classes": self.num_classes, "dropout": self.dropout}
