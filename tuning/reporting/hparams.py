"""Trials as TensorBoard's HParams view takes them: `tensorboard --logdir DIR/tensorboard`."""

import os
import shutil
from pathlib import Path

from tuning.journal import PART, file_name

FOLDER = "tensorboard"
METRIC = "validation score"


def write(folder, found):
    """Writes each trial that did not fail, with its values and its validation score after each epoch.

    It is TensorBoard's own writer, which needs no TensorFlow. What is there already stays: a finished search has no
    more trials, and names of event files hold the time.

    Args:
        folder: the search's folder.
        found: a `tuning.result.Result`.

    """
    place, part = (Path(folder) / name for name in (FOLDER, PART + FOLDER))
    if place.exists():
        return
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    for family in found.families:
        for run in family.trials:
            if run.failure is None:
                name = f"{family.name}-{run.number + 1}-{run.round + 1}-{run.epochs}"
                _write_run(part / file_name(name), family, run)
    os.replace(part, place)


def _write_run(folder, family, run):
    from tensorboard.plugins.hparams import summary_v2 as hparams
    from tensorboard.plugins.scalar import summary_v2 as scalar
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    values = {"family": family.name, "kind": family.kind, "width": run.width, "parameters": run.parameters}
    # Options of different mixers of one name would otherwise be one column: they carry the mixer's.
    values |= {name.split("/", 1)[-1]: value for name, value in run.values.items() if name != "mixer"}
    metrics = [hparams.Metric(METRIC)]
    writer = EventFileWriter(str(folder))
    _add(writer, hparams.hparams_config_pb([hparams.HParam(name) for name in values], metrics), 0)
    _add(writer, hparams.hparams_pb(values, trial_id=folder.name, start_time_secs=0.0), 0)
    for epoch, score in enumerate(run.curve):
        _add(writer, scalar.scalar_pb(METRIC, score), epoch + 1)
    writer.close()


def _add(writer, summary, step):
    from tensorboard.compat.proto import event_pb2
    from tensorboard.compat.proto.summary_pb2 import Summary

    # Two spellings of the same message: TensorBoard's plugins make the one, its writer takes the other.
    summary = Summary.FromString(summary.SerializeToString())
    writer.add_event(event_pb2.Event(wall_time=float(step), step=step, summary=summary))
