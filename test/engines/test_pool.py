import pytest

from espnet_ros.engines.pool import EnginePool


@pytest.fixture
def pool():
    pool = EnginePool()
    for key in ("old", "middle", "new"):
        assert pool.put(key, f"engine {key}") is None
    return pool


def test_an_engine_is_handed_out_once(pool):
    assert pool.take("middle") == "engine middle"
    assert pool.take("middle") is None
    assert [key for key, _ in pool.items()] == ["new", "old"]


def test_an_engine_that_does_not_meet_the_condition_stays(pool):
    assert pool.take("old", lambda engine: engine == "another") is None
    assert pool.take("old", lambda engine: engine == "engine old") == "engine old"


def test_the_oldest_goes_first_and_being_put_in_again_makes_an_engine_the_newest(pool):
    pool.put("old", pool.take("old"))
    assert [pool.take_oldest() for _ in range(4)] == ["engine middle", "engine new", "engine old", None]


def test_an_engine_with_the_same_key_displaces_the_other_which_is_handed_back(pool):
    assert pool.put("old", "another engine") == "engine old"
    assert pool.take("old") == "another engine"


def test_all_that_is_not_named_is_handed_out(pool):
    assert pool.take_all_but({"middle", "no such"}) == ["engine old", "engine new"]
    assert [key for key, _ in pool.items()] == ["middle"]
