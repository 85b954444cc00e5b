import dataclasses
import itertools

import numpy as np
import pytest

from tuning.racing import OVER, RUNNING, WAIT, Leg, Race, Rules

KINDS = {
    "gru": "implicit",
    "lstm": "implicit",
    "gated_conv": "implicit",
    "multi_head": "explicit",
    "additive": "explicit",
    "pooling": "control",
}
RULES = Rules(rungs=(2, 8), openers=3, budget=3 * 8 * len(KINDS))


def run(race, score, limit=1000):
    """Runs a race to its end, one leg after another; `score` is a function of a leg."""
    order = []
    for _ in range(limit):
        leg = race.next()
        if leg == OVER:
            return order
        assert leg != WAIT
        race.start(leg)
        race.end(leg, score(leg))
        order.append(leg)
    raise AssertionError("The race does not end.")


def by_family(**levels):
    """Scores about a level of each family, a little better with later configurations and with more epochs."""

    def score(leg):
        noise = np.random.default_rng([leg.number, leg.round]).normal() * 0.004
        return levels.get(leg.family, 0.5) + 0.001 * leg.number + 0.01 * leg.epochs + noise

    return score


def test_in_the_first_round_the_best_of_three_goes_to_the_end():
    race = Race({"gru": "implicit"}, dataclasses.replace(RULES, budget=0))
    scores = {0: 0.3, 1: 0.5, 2: 0.4}
    assert run(race, lambda leg: scores[leg.number]) == [
        Leg("gru", 0, 0, 2),
        Leg("gru", 1, 0, 2),
        Leg("gru", 2, 0, 2),
        Leg("gru", 1, 0, 8),
    ]
    assert race.champion("gru") == (1, 0.5) and race.spent() == 3 * 2 + 6


def test_nine_openers_become_three_and_one():
    race = Race({"gru": "implicit"}, Rules(rungs=(1, 3, 9), openers=9, budget=0))
    order = run(race, lambda leg: leg.number / 10)
    assert [(leg.number, leg.epochs) for leg in order[9:]] == [(8, 3), (7, 3), (6, 3), (8, 9)]


def test_every_family_has_a_whole_run_whatever_the_early_rungs_say():
    # This one is the worst until it has learnt.
    race = Race(KINDS, RULES)
    run(race, lambda leg: 1.0 if leg.family == "lstm" and leg.epochs == 8 else 0.0 if leg.family == "lstm" else 0.5)
    assert all(race.rounds(family) for family in KINDS) and "lstm" in race.finalists()
    assert race.champion("lstm")[1] == 1.0


def test_in_a_later_round_the_champion_meets_a_new_configuration_on_a_new_seed():
    race = Race({"gru": "implicit", "multi_head": "explicit"}, dataclasses.replace(RULES, budget=50))
    order = run(race, by_family())
    later = [leg for leg in order if leg.round == 1 and leg.family == "multi_head"]
    champion = max((leg for leg in order if leg.family == "multi_head" and leg.round == 0), key=lambda leg: leg.epochs)
    assert [leg.number for leg in later[:2]] == [champion.number, 3] and later[2].epochs == 8


def test_kinds_take_turns():
    race = Race(KINDS, dataclasses.replace(RULES, budget=10**6))
    order = []
    for leg in itertools.islice(iter(race.next, OVER), 150):
        race.start(leg)
        # So close that nothing is ever settled.
        race.end(leg, 0.5 + np.random.default_rng([leg.number, leg.round, leg.epochs]).normal() * 0.1)
        order.append(leg)
    spent = {
        kind: sum(leg.epochs == 8 and leg.round > 0 for leg in order if KINDS[leg.family] == kind)
        for kind in ("implicit", "explicit", "control")
    }
    assert abs(spent["implicit"] - spent["explicit"]) <= 1 and spent["implicit"] > 3 and spent["control"] == 0


def test_within_a_kind_the_promising_go_on_and_the_hopeless_do_not():
    race = Race(KINDS, dataclasses.replace(RULES, budget=10**3))
    run(race, by_family(gru=0.6, lstm=0.59, gated_conv=0.2, multi_head=0.6))
    assert len(race.rounds("gru")) > 1 and len(race.rounds("gated_conv")) == 1
    assert "gated_conv" not in race.finalists()


def test_a_family_is_dropped_when_paired_evidence_says_so():
    race = Race({"gru": "implicit", "lstm": "implicit", "min_gru": "implicit"}, RULES)
    for round, family in itertools.product(range(3), race.kinds):
        # The seeds differ by far more than the families: paired, the order is plain.
        value = {"gru": 0.5, "lstm": 0.4, "min_gru": 0.499}[family] + round + 0.001 * (round == 1)
        race.end(Leg(family, 0, round, 8), value + 0.002 * (round == 2) * (family == "min_gru"))
    assert set(race.dropped()) == {"lstm"}
    leader, upper = race.dropped()["lstm"]
    assert leader == "gru" and -0.1 < upper < -0.09


def test_finalists_are_compared_on_the_seeds_that_both_have():
    race = Race({"gru": "implicit", "lstm": "implicit", "min_gru": "implicit"}, RULES)
    for family, score in (("gru", 0.90), ("lstm", 0.88), ("min_gru", 0.87)):
        race.end(Leg(family, 0, 0, 8), score)
    # Its second seed is a hard one, which the others were spared.
    race.end(Leg("gru", 0, 1, 8), 0.60)
    assert race.champion("gru") == (0, 0.75)
    assert race.finalists() == ["gru", "lstm"]


def test_champions_of_kinds_are_compared_on_the_seeds_that_both_have():
    race = Race({"gru": "implicit", "multi_head": "explicit"}, RULES)
    for family, number in itertools.product(race.kinds, range(3)):
        race.end(Leg(family, number, 0, 2), 0.1 - number / 100)
    for round, level in enumerate((0.2, 0.5, 0.6, 0.9)):
        race.end(Leg("multi_head", 0, round, 8), level + 0.05)
        # It was spared the last seed, which is an easy one.
        if round < 3:
            race.end(Leg("gru", 0, round, 8), level + 0.1 + 0.001 * round)
    assert race.champion("gru")[1] < race.champion("multi_head")[1]
    # On the three seeds of both it is ahead beyond doubt, so that nothing is open.
    assert race.next() == OVER


def test_configurations_are_compared_on_the_seeds_that_both_have():
    race = Race({"gru": "implicit"}, RULES)
    for number, round, score in ((0, 0, 0.80), (1, 0, 0.82), (0, 1, 0.99)):
        race.end(Leg("gru", number, round, 8), score)
    assert race.champion("gru") == (1, 0.82)


def test_configurations_that_share_no_seed_are_compared_by_their_means():
    race = Race({"gru": "implicit"}, RULES)
    for number, round, score in ((0, 0, 0.80), (0, 2, 0.70), (3, 1, 0.77)):
        race.end(Leg("gru", number, round, 8), score)
    assert race.champion("gru") == (3, 0.77)


def test_of_three_the_best_beats_most_of_the_others():
    race = Race(dict.fromkeys(("gru", "lstm", "min_gru"), "implicit"), RULES)
    # Each beats the next on the seed they share, in a circle but for one: gru beats both.
    for family, round, score in (
        ("gru", 0, 0.50),
        ("lstm", 0, 0.45),
        ("gru", 1, 0.20),
        ("min_gru", 1, 0.15),
        ("lstm", 2, 0.90),
        ("min_gru", 2, 0.95),
    ):
        race.end(Leg(family, 0, round, 8), score)
    assert race._by_promise("implicit") == ["gru", "min_gru", "lstm"]


def test_one_round_drops_nobody():
    race = Race({"gru": "implicit", "lstm": "implicit"}, dataclasses.replace(RULES, budget=0))
    run(race, by_family(gru=0.9, lstm=0.1))
    assert race.dropped() == {} and race.finalists() == ["gru", "lstm"]


def test_the_race_ends_when_nothing_is_open():
    race = Race(KINDS, dataclasses.replace(RULES, budget=10**6))
    run(race, by_family(multi_head=0.9))
    # Two whole runs or more for both leaders, and no more than a few.
    assert 2 <= len(race.rounds("multi_head")) <= 4


def test_two_seeds_alike_are_no_certainty():
    race = Race({"gru": "implicit", "multi_head": "explicit"}, RULES)
    for round, (family, score) in itertools.product(range(2), (("gru", 0.90), ("multi_head", 0.91))):
        race.end(Leg(family, 0, round, 8), score)
        race.end(Leg(family, 1, round, 2), score - 0.1)
        race.end(Leg(family, 2, round, 2), score - 0.1)
        race.end(Leg(family, 0, round, 2), score - 0.1)
    assert race.next().stage == "trial"


def test_a_race_of_one_trial_each_is_over_with_the_start():
    race = Race(KINDS, Rules(rungs=(2, 8), openers=1, budget=8 * len(KINDS), only_start=True, seeds=2))
    # Failures and early ends leave some of the budget: nobody has it.
    order = run(race, lambda leg: None if leg.family == "gru" else 0.5)
    assert {leg.number for leg in order} == {0}
    assert {leg.round for leg in order if leg.stage == "trial"} == {0}
    assert [leg.round for leg in order if leg.stage == "retraining"] == [0, 1] * 5


def test_the_race_keeps_to_its_budget():
    for budget in (100, 121, 144):
        race = Race(KINDS, dataclasses.replace(RULES, budget=budget))
        run(race, lambda leg: 0.5 + np.random.default_rng([leg.number, leg.round, leg.epochs]).normal() * 0.1)
        assert race.spent() <= budget


def test_failures_are_passed_over():
    race = Race(KINDS, RULES)
    run(race, lambda leg: None if leg.family == "gru" or leg.number == 1 else 0.5 + leg.number / 10)
    assert race.champion("gru") is None and "gru" not in race.finalists()
    assert race.champion("lstm")[0] != 1


def test_a_kind_whose_families_all_fail_leaves_the_others_to_go_on():
    race = Race(KINDS, RULES)
    run(race, lambda leg: None if KINDS[leg.family] == "implicit" else 0.5)
    assert race.finalists() == ["multi_head", "additive", "pooling"]


def test_what_is_solved_early_is_a_whole_run():
    race = Race({"gru": "implicit"}, dataclasses.replace(RULES, budget=0, solved=0.99))
    order = run(race, lambda leg: 0.995 if leg.number == 2 else 0.4)
    assert all(leg.epochs == 2 for leg in order) and race.champion("gru") == (2, 0.995)


def test_several_at_once_run_no_leg_twice_and_wait_for_each_other():
    race, running, done = Race(KINDS, RULES), [], []
    score = by_family(multi_head=0.6)
    while True:
        leg = race.next()
        if isinstance(leg, Leg) and len(running) < 5:
            assert leg not in done and leg not in running
            race.start(leg)
            running.append(leg)
        elif running:
            # The one that was started last ends first.
            done.append(running.pop())
            race.end(done[-1], score(done[-1]))
        else:
            assert leg == OVER
            break
    assert len(race.rounds("multi_head")) >= 2 and RUNNING not in race.scores.values()


def test_who_asks_for_a_family_gets_its_legs_first():
    race = Race(KINDS, RULES)
    assert race.next(["additive", "lstm"]) == Leg("additive", 0, 0, 2)
    for number in range(3):
        race.start(Leg("additive", number, 0, 2))
    assert race.next(["additive", "lstm"]) == Leg("lstm", 0, 0, 2)
    assert race.next() == Leg("gru", 0, 0, 2)


def test_alone_with_a_running_leg_one_waits():
    race = Race({"gru": "implicit"}, RULES)
    for _ in range(3):
        race.start(race.next())
    assert race.next() == WAIT
    race.forget(Leg("gru", 1, 0, 2))
    assert race.next() == Leg("gru", 1, 0, 2)


@pytest.mark.parametrize("cut", [1, 5, 13, 20])
def test_a_race_that_is_told_what_was_run_goes_on_as_if_it_had_run_it(cut):
    score = by_family(multi_head=0.6, gru=0.55)
    whole, again = Race(KINDS, RULES), Race(KINDS, RULES)
    order = run(whole, score)
    for leg in order[:cut]:
        again.end(leg, score(leg))
    assert order[:cut] + run(again, score) == order
