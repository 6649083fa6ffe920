from superpoint_rknn.features.rate import RateLimiter, jumps

MS = 1_000_000


def test_stamps_jump_backwards_or_by_more_than_a_second():
    assert not jumps(None, 5)
    assert not jumps(5, 5)
    assert not jumps(0, 1000 * MS)
    assert jumps(0, 1000 * MS + 1)
    assert jumps(5, 4)


def chosen(rate, *stamps):
    cadence = RateLimiter()
    return [stamp for stamp in stamps if cadence.take(stamp * MS, rate)]


def test_chosen_moments_come_at_the_rate_on_average():
    assert chosen(5.0, *range(0, 1000, 33)) == [0, 231, 429, 627, 825]
    assert chosen(5.0, 0, 199, 200, 399, 400) == [0, 200, 400]
    assert chosen(1000.0, 0, 33, 66) == [0, 33, 66]


def test_what_comes_a_little_early_is_made_up_for():
    for rate, expected in ((10, 100), (15, 150), (5, 50)):
        stamps = [n * 33.333333 for n in range(300)]  # 10 s at 30 Hz, each rounded down
        assert abs(len(chosen(rate, *stamps)) - expected) <= 1
        jittered = [stamp + (0.5 if n % 3 else -0.5) for n, stamp in enumerate(stamps)]
        assert abs(len(chosen(rate, *jittered)) - expected) <= 1


def test_what_comes_late_is_no_debt():
    assert chosen(10.0, 0, 1000, 1040, 1060, 1140, 1160) == [0, 1000, 1140]


def test_the_nearest_is_chosen_where_the_step_is_known():
    cadence = RateLimiter()
    cadence.choose(0, 10.0)
    assert not cadence.is_due(80 * MS, 10.0, 20 * MS)
    assert cadence.is_due(90 * MS, 10.0, 20 * MS)


def test_where_time_runs_back_it_begins_anew():
    assert chosen(5.0, 900, 1000, 0, 100, 200) == [900, 0, 200]
