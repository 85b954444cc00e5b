"""A linear model beside which forecasts stand: ridge regression, its strength chosen on dev."""

from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

STRENGTHS = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)


def judge(parts, error):
    """The strength that is best on dev, with the errors on every part.

    Args:
        parts: for "train", "dev" and "test" what is seen, `(N, F)`, and what comes, `(N, H)`.
        error: a function from forecasts and what came to a number.
    """
    found = {}
    for strength in STRENGTHS:
        model = make_pipeline(StandardScaler(), Ridge(alpha=strength)).fit(*parts["train"])
        found[strength] = {name: error(model.predict(x).reshape(y.shape), y) for name, (x, y) in parts.items()}
    best = min(found, key=lambda strength: found[strength]["dev"])
    return best, found[best]


def say(parts, error, digits):
    """The same as a line."""
    strength, errors = judge(parts, error)
    return f"ridge of strength {strength:g}: " + ", ".join(f"{x:.{digits}f} on {name}" for name, x in errors.items())
