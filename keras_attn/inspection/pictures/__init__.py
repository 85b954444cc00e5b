"""Pictures of what a model looks at: strips of tokens, matrices, maps over images and behind series."""

from keras_attn.inspection.pictures.drawing import Drawing, draw_together
from keras_attn.inspection.pictures.image import draw_on_image, image_drawing
from keras_attn.inspection.pictures.matrices import draw_matrices, matrices_drawing
from keras_attn.inspection.pictures.series import draw_series, series_drawing
from keras_attn.inspection.pictures.tokens import draw_tokens, tokens_drawing

__all__ = [
    "Drawing",
    "draw_matrices",
    "draw_on_image",
    "draw_series",
    "draw_together",
    "draw_tokens",
    "image_drawing",
    "matrices_drawing",
    "series_drawing",
    "tokens_drawing",
]
