"""Questions about stories: what is shown are sentences, of a memory's slots, or else words."""

import numpy as np
from keras import ops

from keras_attn.inspection._calls import replaced
from zoo import reading
from zoo.explaining.cells import Cells, Given
from zoo.explaining.sound import as_many
from zoo.explaining.text import tokens


def read(model, preprocessor, given):
    """A pair of a story and a question, or a text that ends with the question."""
    if preprocessor is None:
        raise ValueError("A model of stories is explained with its preprocessor. Received: one without")
    if isinstance(given, str) and (reading.is_file(given) or not given.strip()):
        raise ValueError(f"The model takes a text that ends with a question. Received: {given!r}")
    inputs, ((sentences, question),) = preprocessor([given]), preprocessor.kept([given])
    if model.backbone.memory is None:
        ids, mask = (ops.convert_to_numpy(each)[0] for each in model.backbone.get_layer("text")(**inputs))
        return Given("story", inputs, tuple(map(preprocessor.tokenizer.id_to_token, ids[mask].tolist())))
    if not sentences:
        raise ValueError(f"What is looked at are sentences, and there is no story. Received: {given!r}")
    # Empty slots play no part.
    inputs["story"] = inputs["story"][:, : len(sentences)]
    return Given("story", inputs, tuple(sentences), asked=question)


def cells(model, given, lengths=()):
    if model.backbone.memory is None:
        story = given.inputs["story"]
        return tokens(given.inputs, story[0].size + story.shape[-1], len(given.subject))
    encoder, count = model.backbone.sentences, len(given.subject)
    vectors = ops.convert_to_numpy(encoder(given.inputs["story"]))  # (1, S, R, D)

    def of_sentences(model):
        def function(x, **options):
            """The model with x `(B, S, R·D)` for what its encoder makes of the story, not of the question."""

            def instead(call):
                told = ops.reshape(x, (-1, *vectors.shape[1:]))
                return lambda inputs, *args, **kwargs: (
                    told if len(inputs.shape) == 3 and not kwargs.get("reverse") else call(inputs, *args, **kwargs)
                )

            with replaced(encoder, instead):
                return model(as_many(given.inputs, x), **options)

        return function

    return Cells(count, None, vectors.reshape(1, count, -1), of_sentences, np.arange(count))
