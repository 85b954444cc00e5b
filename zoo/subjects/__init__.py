"""What presets are trained on: one file for each family of tasks, one row for each data set."""

from zoo.subjects.texts import SST2

SUBJECTS = {subject.name: subject for subject in (SST2,)}
