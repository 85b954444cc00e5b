import pytest

from tests.tuning.standins import BLOBS
from tuning import budget, flops, tasks
from tuning.budget import Budget, nearest_width
from tuning.journal import SearchFolderError


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


@pytest.mark.parametrize("mixer", ["multi_head", "gated_conv"])
def test_a_budget_of_flops_is_met_within_ten_percent(mixer):
    task = tasks.get("digits")
    data = task.data(0)
    found = budget.make(task, data, "flops", 1e6)
    width, count = found.solve(mixer)
    model = task.model(mixer, width, 0.0)
    assert count == model.count_params()
    assert flops.of_step(model, data.train.take(slice(task.batch_size)).x) == pytest.approx(1e6, rel=0.1)


def test_without_an_amount_all_cost_what_the_first_costs_with_its_parameters():
    data = BLOBS.data(0)
    found = budget.make(BLOBS, data, "flops")
    width, count = Budget(BLOBS.model, BLOBS.parameters).solve({"mixer": "identity"})
    assert found.amount == 3 * 2 * (6 * width + width * 2)
    assert found.solve("pooling") == (width, count)


def test_time_is_that_of_a_training_step(monkeypatch):
    monkeypatch.setattr(budget, "step_seconds", lambda model, batch, measure: 1e-3 * model.count_params())
    found = budget.make(BLOBS, BLOBS.data(0), "time", 0.2)
    _, count = found.solve("identity")
    assert 1e-3 * count == pytest.approx(0.2, rel=0.25)


def test_widths_that_were_found_before_are_taken_from_the_folder(tmp_path):
    first = budget.make(BLOBS, BLOBS.data(0), "flops")
    first.remember(tmp_path)
    solved = first.solve("identity")
    again = Budget(lambda *_: pytest.fail("a model was built"), 1)
    again.recall(tmp_path)
    assert budget.remembered(tmp_path) == first.amount
    assert again.solve("identity") == solved


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        '{"amount": 3',
        '{"amount": 3}',
        '{"amount": "much", "widths": {}}',
        '{"amount": 3, "widths": [7]}',
        '{"amount": 3, "widths": {"gru": 7}}',
        '{"amount": 3, "widths": {"gru": [7, null]}}',
    ],
)
def test_of_a_damaged_budget_it_is_said_how_to_go_on(content, tmp_path):
    (tmp_path / budget.REMEMBERED).write_text(content)
    with pytest.raises(SearchFolderError, match=r"budget\.json .*Remove it and give the same command again"):
        budget.remembered(tmp_path)
    with pytest.raises(SearchFolderError, match="Remove it and give the same command again"):
        Budget(None, 3).recall(tmp_path)


def test_a_budget_of_any_amount_is_remembered(tmp_path):
    Budget(None, None, width=7).remember(tmp_path)
    Budget(None, None, width=7).recall(tmp_path)
    assert budget.remembered(tmp_path) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("flop", "Did you mean 'flops'"),
        ("flops=much", "a kind and a number: flops=2e6. Received: flops=much"),
        ("flops=0", "a number above 0 of FLOPs. Received: 0.0"),
        ("flops=inf", "a number above 0 of FLOPs. Received: inf"),
        ("time=-1", "a number above 0 of seconds a step"),
    ],
)
def test_what_is_no_budget_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        budget.parse(text)
