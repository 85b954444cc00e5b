"""Models on KerasHub's base classes whose mixer is an argument, and presets trained with them."""

from zoo.explain import explain
from zoo.explanation import Explanation
from zoo.image import (
    MixerImageBackbone,
    MixerImageClassifier,
    MixerImageClassifierPreprocessor,
    MixerImageConverter,
)
from zoo.safety import PresetError
from zoo.store import load, presets, save
from zoo.story import StoryAnswerer, StoryVectorizer
from zoo.story import build as build_story_model
from zoo.tagger import MixerTagger
from zoo.text import (
    MixerTextBackbone,
    MixerTextClassifier,
    MixerTextClassifierPreprocessor,
    MixerTokenizer,
)

__all__ = [
    "Explanation",
    "MixerImageBackbone",
    "MixerImageClassifier",
    "MixerImageClassifierPreprocessor",
    "MixerImageConverter",
    "MixerTagger",
    "MixerTextBackbone",
    "MixerTextClassifier",
    "MixerTextClassifierPreprocessor",
    "MixerTokenizer",
    "PresetError",
    "StoryAnswerer",
    "StoryVectorizer",
    "build_story_model",
    "explain",
    "load",
    "presets",
    "save",
]
