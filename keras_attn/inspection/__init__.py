"""What a model looks at: the weights of explicit attention, for any Keras model on any backend."""

from keras_attn.inspection.rollout import rollout
from keras_attn.inspection.weights import weights

__all__ = ["rollout", "weights"]
