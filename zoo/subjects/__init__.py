"""What presets are trained on: one file for each family of tasks, one row for each data set."""

from zoo.subjects.captions import EMOJI_CAPTIONS
from zoo.subjects.forecasts import BRENT_VOLATILITY, ETT, METRO_TRAFFIC, PJM_HOURLY
from zoo.subjects.hearts import BEATS, STRIPS
from zoo.subjects.images import CIFAR10, CIFAR10_BIRD, FASHION_MNIST
from zoo.subjects.pairs import CMUDICT, MULTI30K, REUTERS_HEADLINES
from zoo.subjects.series import PHYSIONET, UCR
from zoo.subjects.speech import AN4, FSDD, FSDD_STRANGERS
from zoo.subjects.stories import BABI
from zoo.subjects.streams import TINYSHAKESPEARE, WIKITEXT2
from zoo.subjects.tags import UD_EWT
from zoo.subjects.texts import R8, R52, SST2

_ROWS = (
    *(SST2, R8, R52),
    *(UD_EWT,),
    *(TINYSHAKESPEARE, WIKITEXT2),
    *(CMUDICT, MULTI30K, REUTERS_HEADLINES),
    *(BABI,),
    *(FASHION_MNIST, CIFAR10, CIFAR10_BIRD),
    *(EMOJI_CAPTIONS,),
    *(FSDD, *FSDD_STRANGERS, AN4),
    *(BEATS, STRIPS, PHYSIONET, *UCR),
    *(*ETT, METRO_TRAFFIC, PJM_HOURLY, BRENT_VOLATILITY),
)
SUBJECTS = {subject.name: subject for subject in _ROWS}
