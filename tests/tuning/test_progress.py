import io

import pytest
from rich.console import Console

from tuning.progress import Bar, Event, Lines, Silent, say_seconds

BEGUN = Event(10, 60, "gru[x]", "trial 2", (0.5, "gru[x]"), 75.0)
ENDED = Event(20, 60, "gru[x]", "trial 2", (0.75, "gru[x]"), 60.0, outcome="0.750")


def test_a_line_says_family_trial_best_so_far_and_time_left():
    lines = []
    progress = Lines(lines.append)
    progress.update(BEGUN)
    progress.update(ENDED)
    assert lines == ["[ 33%] gru[x] trial 2: 0.750; best so far gru[x] 0.750; at most about 1 min 0 s left"]


def test_a_terminal_shows_the_run_under_way_and_keeps_the_ended_ones():
    stream = io.StringIO()
    with Bar(Console(file=stream, force_terminal=True, width=120)) as bar:
        bar.update(BEGUN)
        bar.bar.refresh()
        bar.update(ENDED)
    shown = stream.getvalue()
    assert "17% gru[x] trial 2; best so far gru[x] 0.500; at most about 1 min 15 s left" in shown
    assert "[ 33%] gru[x] trial 2: 0.750" in shown


def test_silence_still_warns():
    with pytest.warns(UserWarning, match="set aside"):
        Silent().warn("set aside")


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.4, "0 s"), (59.6, "1 min 0 s"), (125, "2 min 5 s"), (3780, "1 h 3 min")]
)
def test_times_are_said_for_people(seconds, said):
    assert say_seconds(seconds) == said
