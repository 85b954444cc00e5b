"""What a model looks at: weights, for explicit attention, and the Jacobian, for any Keras model on any backend."""

from keras_attn.inspection import pictures
from keras_attn.inspection.attention_x_gradient import attention_x_gradient
from keras_attn.inspection.attribution import Attribution, attribution
from keras_attn.inspection.faithfulness import Faithfulness, Measures, faithfulness
from keras_attn.inspection.flow import flow
from keras_attn.inspection.gain import Gain, gain
from keras_attn.inspection.implicit_weights import ImplicitWeights, implicit_weights
from keras_attn.inspection.page import page
from keras_attn.inspection.pointing import Pointing, pointing
from keras_attn.inspection.randomised import Randomised, randomised
from keras_attn.inspection.relevance import relevance
from keras_attn.inspection.rollout import rollout
from keras_attn.inspection.sensitivity import sensitivity
from keras_attn.inspection.weights import weights

__all__ = [
    "Attribution",
    "Faithfulness",
    "Gain",
    "ImplicitWeights",
    "Measures",
    "Pointing",
    "Randomised",
    "attention_x_gradient",
    "attribution",
    "faithfulness",
    "flow",
    "gain",
    "implicit_weights",
    "page",
    "pictures",
    "pointing",
    "randomised",
    "relevance",
    "rollout",
    "sensitivity",
    "weights",
]
