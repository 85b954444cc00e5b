"""With its default budget a search says what is published, whatever the master seed. Minutes for each."""

import pytest

from tests.tuning.standins import search
from tuning import tasks


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("name", ["recall", "parity"])
def test_the_search_finds_the_published_answer(name, seed, tmp_path):
    found = search(name, seed=seed, out=tmp_path)
    assert found.verdict.answer == tasks.get(name).answer, found.verdict.reason
