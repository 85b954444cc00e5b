import pytest

from tuning import tasks
from tuning.budget import Budget, nearest_width


@pytest.mark.parametrize("target", [7, 1000, 40_000, 300_000])
def test_the_width_is_the_nearest_there_is(target):
    def count(width):
        return 5 * width * width + 3 * width + 11

    width, found = nearest_width(count, target)
    assert found == count(width)
    assert abs(found - target) == min(abs(count(other) - target) for other in range(1, 400))


def test_few_models_are_built_to_find_it():
    asked = []
    nearest_width(lambda width: asked.append(width) or 7 * width * width, 50_000)
    assert len(asked) == len(set(asked)) <= 6


@pytest.mark.parametrize("mixer", ["multi_head", "gru", "identity", ["gru", "multi_head"]])
def test_every_mixer_meets_the_budget_within_ten_percent(mixer):
    task = tasks.get("digits")
    width, count = Budget(task.model, task.parameters).solve(mixer)
    assert count == task.model(mixer, width, 0.0).count_params()
    assert abs(count / task.parameters - 1) <= 0.1


def test_a_width_is_found_once():
    built = []
    task = tasks.get("digits")
    budget = Budget(lambda *arguments: built.append(arguments) or task.model(*arguments), 5000)
    first = budget.solve("identity")
    count = len(built)
    assert budget.solve("identity") == first
    assert len(built) == count


def test_a_budget_that_cannot_be_met_is_refused_with_the_closest():
    class Model:
        def count_params(self):
            return 5000

    with pytest.raises(ValueError, match=r"No width gives 'gru' 100 parameters within 10%. The closest: 5,000"):
        Budget(lambda *_: Model(), 100).solve("gru")


def test_a_given_width_is_taken_for_all():
    task = tasks.get("digits")
    width, count = Budget(task.model, task.parameters, width=8).solve("gru")
    assert (width, count) == (8, task.model("gru", 8, 0.0).count_params())
