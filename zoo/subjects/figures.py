"""What is said of answers that are labels: functions from logits and labels to scores, dicts whose first is `score`."""

import numpy as np


def share_right(logits, labels):
    """The share of examples whose largest logit is the label's."""
    return float(np.mean(np.argmax(logits, axis=-1) == labels))


def accuracy(logits, labels):
    return {"score": share_right(logits, labels)}


def auroc(logits, labels):
    """For two classes: the area under the receiver's curve, and the accuracy."""
    from sklearn.metrics import roc_auc_score

    score = roc_auc_score(labels, logits[:, 1] - logits[:, 0])
    return {"score": float(score), "accuracy": share_right(logits, labels)}
