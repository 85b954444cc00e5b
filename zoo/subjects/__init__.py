"""What presets are trained on: one file for each family of tasks, one row for each data set."""

from zoo.subjects.forecasts import ETT
from zoo.subjects.images import FASHION_MNIST
from zoo.subjects.pairs import CMUDICT, MULTI30K
from zoo.subjects.series import BEATS, PHYSIONET, STRIPS, UCR
from zoo.subjects.tags import UD_EWT
from zoo.subjects.texts import R8, R52, SST2

SUBJECTS = {
    subject.name: subject
    for subject in (SST2, R8, R52, UD_EWT, BEATS, STRIPS, PHYSIONET, *UCR, *ETT, FASHION_MNIST, CMUDICT, MULTI30K)
}
