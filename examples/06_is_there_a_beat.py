"""Is there a ventricular beat in these ten seconds? A convolution, a GRU and three kinds of attention, side by side.

Each is told of a strip only whether there is such a beat, and never where. What it looks at is then shown by what each
position adds to the answer, for all five, and by the weights, for those that have any; and as it is known where the
beats are, one can count how often the largest number of a map stands at one.

Needs the data set `mitbih_120hz` in `$KERAS_ATTN_DATA`. Takes about half an hour on one core with tensorflow. The
table in `docs/inspection.md` is what it printed.
"""

import sys
import time
from pathlib import Path

import keras
import numpy as np
from sklearn.metrics import roc_auc_score

from keras_attn import inspection
from keras_attn.inspection.pictures import draw_series
from zoo.backbone import stack
from zoo.datasets import mitbih

#: Ten samples of the signal are one position of 120.
PATCH, WIDTH = 10, 48
MODELS = {
    "convolution": {"mixer": "depthwise_conv", "kernel_size": 15},
    "GRU, both ways": {"mixer": "gru", "bidirectional": True},
    "additive attention": "additive",
    "multiplicative attention": "multiplicative",
    "multi-head attention": "multi_head",
}


def main(out, models=MODELS, epochs=8, strips=None, seed=0):
    """Trains the models, prints a row about each, draws their maps of one strip, and returns both by name."""
    train, test = (_positions(mitbih.load_strips(split), strips) for split in ("train", "test"))
    # Where there is something to be found: which strips is drawn at random.
    rows = np.random.default_rng(seed).permutation(np.flatnonzero(test[1]))[:64]
    found, maps = {}, {}
    print(
        "| | area under ROC | parameters | training, s | one strip, ms | adds most at a beat | weight most at a beat |"
    )
    print("|---|---|---|---|---|---|---|")
    for name, mixer in models.items():
        keras.utils.set_random_seed(seed)
        model = build(mixer)
        start = time.perf_counter()
        model.fit(*train[:2], batch_size=64, epochs=epochs, verbose=0)
        found[name] = {"training": time.perf_counter() - start, "parameters": model.count_params()}
        found[name]["area"] = roc_auc_score(test[1], model.predict(test[0], batch_size=256, verbose=0)[:, 0])
        found[name]["milliseconds"] = _milliseconds(model, test[0][:1])
        maps |= {f"{name}, {what}": each for what, each in looks(model, test[0][rows]).items()}
        for what in ("adds", "weights"):
            each = maps.get(f"{name}, {what}")
            found[name][what] = None if each is None else float(inspection.pointing(each, test[2][rows]).hit.mean())
        print(_row(name, found[name]), flush=True)
    chance = inspection.pointing(np.ones((len(rows), test[2].shape[1])), test[2][rows]).hit.mean()
    print(f"\nOf {len(rows)} strips with such a beat, by chance {chance:.2f}.")
    first = rows[0]
    draw_series(
        test[0][first].reshape(-1),
        {name: np.maximum(each[0], 0.0) for name, each in maps.items()},
        channels=["lead MLII"],
        marks=np.flatnonzero(test[3][first]),
        path=out,
    )
    return found, maps


def _positions(strips, count):
    """Inputs `(N, 120, 10)`, answers `(N,)`, and of ventricular beats where they are.

    That is, which positions are half or more of one, `(N, 120)`, and at which samples they are annotated, `(N, 1200)`.
    """
    x, truth = strips.positions(PATCH)
    chosen = np.random.default_rng(0).permutation(len(x))[:count]
    return x[chosen], strips.y[chosen], truth[chosen], strips.annotated[chosen]


def build(mixer):
    """From positions to the logit that there is a ventricular beat: two layers of the zoo's stack, and their mean."""
    inputs = keras.Input((mitbih.LENGTH // PATCH, PATCH))
    hidden = stack(keras.layers.Dense(WIDTH)(inputs), None, mixer, 2, 2.0, 3, "sinusoid", position_scale=0.1)
    model = keras.Model(inputs, keras.layers.Dense(1)(keras.layers.GlobalAveragePooling1D()(hidden)))
    model.compile(
        keras.optimizers.AdamW(0.002, weight_decay=0.01, clipnorm=1.0),
        keras.losses.BinaryCrossentropy(from_logits=True),
    )
    return model


def looks(model, x):
    """What each position adds to the answer, and the weights through both layers, if there are any: `(B, S)` each."""
    found = {"adds": inspection.attribution(model, x, method="integrated_gradients").map}
    if any(getattr(layer, "kind", None) == "explicit" for layer in model._flatten_layers()):
        found["weights"] = inspection.rollout(list(inspection.weights(model, x).values())).mean(axis=1)
    return found


def _milliseconds(model, x, repeats=20):
    model.predict(x, verbose=0)
    taken = []
    for _ in range(repeats):
        start = time.perf_counter()
        model.predict_on_batch(x)
        taken.append(time.perf_counter() - start)
    return 1e3 * float(np.median(taken))


def _row(name, of):
    hits = ("" if of[what] is None else f"{of[what]:.2f}" for what in ("adds", "weights"))
    cells = f"{of['area']:.3f}", f"{of['parameters']:,}", f"{of['training']:.0f}", f"{of['milliseconds']:.1f}", *hits
    return f"| {name} | {' | '.join(cells)} |"


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "beat.png"))
