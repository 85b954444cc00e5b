import io

import pytest
from rich.console import Console

from tuning.progress import Bar, Event, Lines, Silent, say_seconds

BEGUN = Event(1, 6, "gru[x]", "trial", 2, 3, (0.5, "gru[x]"), 75.0)
ENDED = Event(2, 6, "gru[x]", "trial", 2, 3, (0.75, "gru[x]"), 60.0, outcome="0.750")


def test_a_line_says_trial_family_best_so_far_and_time_left():
    lines = []
    progress = Lines(lines.append)
    progress.update(BEGUN)
    progress.update(ENDED)
    assert lines == ["[2/6] gru[x] trial 2 of 3: 0.750; best so far gru[x] 0.750; about 1 min 0 s left"]


def test_a_terminal_shows_the_run_under_way_and_keeps_the_ended_ones():
    stream = io.StringIO()
    with Bar(Console(file=stream, force_terminal=True, width=120)) as bar:
        bar.update(BEGUN)
        bar.bar.refresh()
        bar.update(ENDED)
    shown = stream.getvalue()
    assert "gru[x] trial 2 of 3; best so far gru[x] 0.500; about 1 min 15 s left" in shown
    assert "[2/6] gru[x] trial 2 of 3: 0.750" in shown


def test_silence_still_warns():
    with pytest.warns(UserWarning, match="set aside"):
        Silent().warn("set aside")


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.4, "0 s"), (59.6, "1 min 0 s"), (125, "2 min 5 s"), (3780, "1 h 3 min")]
)
def test_times_are_said_for_people(seconds, said):
    assert say_seconds(seconds) == said
