from superpoint_rknn.features.rate import MAX_LATE, RateLimiter, StampOrder, jumps

MS = 1_000_000


def test_jump_backwards_or_above_one_second():
    assert not jumps(None, 5)
    assert not jumps(5, 5)
    assert not jumps(0, 1000 * MS)
    assert jumps(0, 1000 * MS + 1)
    assert jumps(5, 4)


def late_by(*stamps):
    """By how much each stamp is late; all in [ms]."""
    order = StampOrder()
    return [order.late_by(stamp * MS) // MS for stamp in stamps]


def test_late_images_are_those_before_the_newest_one():
    assert late_by(0, 50, 100) == [0, 0, 0]
    assert late_by(100, 99, 150) == [0, 1, 0]
    assert late_by(100, 50, 60, 150, 140) == [0, 50, 40, 0, 10]
    assert late_by(100, 100, 200, 100) == [0, 0, 0, 100]  # repeated: refused elsewhere


def test_a_recording_that_starts_again_is_not_late():
    assert late_by(5000, 4000) == [0, 1000]
    assert late_by(5000, 3999, 4050, 4000) == [0, 0, 0, 50]


def test_a_clock_set_back_by_half_a_second_is_late_for_few_images():
    assert MAX_LATE == 5
    stamps = [500, 33, 66, 99, 132, 165, 198, 231, 264]
    assert late_by(*stamps) == [0, 467, 434, 401, 368, 335, 0, 0, 0]
    # ten images of two interleaved streams: never five in a row
    stamps = [stamp for n in range(10) for stamp in (100 * n + 100, 100 * n + 50)]
    assert late_by(*stamps) == [0, 50] * 10


def selected(rate, *stamps):
    limiter = RateLimiter()
    return [stamp for stamp in stamps if limiter.select_if_due(stamp * MS, rate)]


def test_average_rate():
    assert selected(5.0, *range(0, 1000, 33)) == [0, 231, 429, 627, 825]
    assert selected(5.0, 0, 199, 200, 399, 400) == [0, 200, 400]
    assert selected(1000.0, 0, 33, 66) == [0, 33, 66]


def test_average_rate_with_jitter():
    for rate, expected in ((10, 100), (15, 150), (5, 50)):
        stamps = [n * 33.333333 for n in range(300)]  # 10 s at 30 Hz, each rounded down
        assert abs(len(selected(rate, *stamps)) - expected) <= 1
        jittered = [stamp + (0.5 if n % 3 else -0.5) for n, stamp in enumerate(stamps)]
        assert abs(len(selected(rate, *jittered)) - expected) <= 1


def test_a_gap_causes_no_burst():
    assert selected(10.0, 0, 1000, 1040, 1060, 1140, 1160) == [0, 1000, 1140]


def test_the_nearest_timestamp_is_due_if_the_step_is_known():
    limiter = RateLimiter()
    limiter.select(0, 10.0)
    assert not limiter.is_due(80 * MS, 10.0, 20 * MS)
    assert limiter.is_due(90 * MS, 10.0, 20 * MS)


def test_restart_after_a_backward_jump():
    assert selected(5.0, 900, 1000, 0, 100, 200) == [900, 0, 200]
