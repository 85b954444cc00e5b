"""Models on KerasHub's base classes whose mixer is an argument, and presets trained with them."""

from zoo.caption import MixerCaptioner, MixerCaptionerPreprocessor, caption_scores
from zoo.explain import explain
from zoo.explanation import Explanation
from zoo.forecaster import MixerForecaster
from zoo.image import (
    MixerImageBackbone,
    MixerImageClassifier,
    MixerImageClassifierPreprocessor,
    MixerImageConverter,
)
from zoo.language import MixerCausalLM, MixerCausalLMPreprocessor
from zoo.perplexity import Foretold, perplexity
from zoo.recognizer import (
    MixerSpeechRecognizer,
    MixerSpeechRecognizerPreprocessor,
    error_rates,
)
from zoo.safety import PresetError
from zoo.seq2seq import MixerSeq2SeqBackbone, MixerSeq2SeqLM, MixerSeq2SeqLMPreprocessor
from zoo.series import MixerSeriesBackbone, MixerSeriesClassifier, MixerSeriesPreprocessor
from zoo.sound import HiddenSpans, LogMel
from zoo.speech import (
    MixerAudioConverter,
    MixerSpeechBackbone,
    MixerSpeechClassifier,
    MixerSpeechClassifierPreprocessor,
)
from zoo.store import load, presets, save
from zoo.story import MixerStoryAnswerer, MixerStoryBackbone, MixerStoryPreprocessor
from zoo.tagger import MixerTagger, MixerTaggerPreprocessor
from zoo.text import (
    MixerTextBackbone,
    MixerTextClassifier,
    MixerTextClassifierPreprocessor,
    MixerTokenizer,
)
from zoo.tokens import SymbolTokenizer
from zoo.transcriber import MixerAudioToText, MixerAudioToTextPreprocessor

__all__ = [
    "Explanation",
    "Foretold",
    "MixerCausalLM",
    "MixerCausalLMPreprocessor",
    "HiddenSpans",
    "LogMel",
    "MixerAudioConverter",
    "MixerAudioToText",
    "MixerAudioToTextPreprocessor",
    "MixerCaptioner",
    "MixerCaptionerPreprocessor",
    "MixerForecaster",
    "MixerImageBackbone",
    "MixerImageClassifier",
    "MixerImageClassifierPreprocessor",
    "MixerImageConverter",
    "MixerSeq2SeqBackbone",
    "MixerSeq2SeqLM",
    "MixerSeq2SeqLMPreprocessor",
    "MixerSeriesBackbone",
    "MixerSeriesClassifier",
    "MixerSeriesPreprocessor",
    "MixerSpeechBackbone",
    "MixerSpeechClassifier",
    "MixerSpeechClassifierPreprocessor",
    "MixerSpeechRecognizer",
    "MixerSpeechRecognizerPreprocessor",
    "MixerStoryAnswerer",
    "MixerStoryBackbone",
    "MixerStoryPreprocessor",
    "MixerTagger",
    "MixerTaggerPreprocessor",
    "MixerTextBackbone",
    "MixerTextClassifier",
    "MixerTextClassifierPreprocessor",
    "MixerTokenizer",
    "PresetError",
    "SymbolTokenizer",
    "caption_scores",
    "error_rates",
    "explain",
    "load",
    "perplexity",
    "presets",
    "save",
]
