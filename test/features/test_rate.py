from itertools import pairwise

import pytest

from superpoint_rknn.features.rate import MAX_LATE, STEPS, EveryNth, RateLimiter, StampOrder, jumps

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


def test_restart_after_a_backward_jump():
    assert selected(5.0, 900, 1000, 0, 100, 200) == [900, 0, 200]


def numbers(rate, stamps, every_nth=None):
    """Numbers of the images that EveryNth selects; stamps in [ms]."""
    every_nth = every_nth or EveryNth()
    return [n for n, stamp in enumerate(stamps) if every_nth.select(round(stamp * MS), rate)]


def camera(rate, count=13):
    return [1000 * n / rate for n in range(count)]


def test_every_nth_image_of_a_camera():
    assert numbers(10.0, camera(30)) == [0, 3, 6, 9, 12]
    assert numbers(10.0, camera(20)) == [0, 2, 4, 6, 8, 10, 12]
    assert numbers(15.0, camera(20)) == list(range(13))  # 1.33: all, evenly spaced
    assert numbers(10.0, camera(25)) == [0, 2, 4, 6, 8, 10, 12]  # 2.5 is rounded to the even 2
    assert numbers(10.0, camera(5)) == list(range(13))
    assert numbers(0.0, camera(30)) == list(range(13))


def test_jitter_does_not_change_the_images():
    shifts = [0, 8, -8, 8, 8, -8, 0, -8, 8, -8, -8, 8, 0]  # [ms] of 33.3
    stamps = [stamp + shift for stamp, shift in zip(camera(30), shifts, strict=True)]
    assert numbers(10.0, stamps) == [0, 3, 6, 9, 12]


def test_a_lost_image_moves_at_most_its_own_place():
    def without(lost):
        stamps = camera(30)
        kept = [n for n in range(13) if n != lost]
        return [kept[i] for i in numbers(10.0, [stamps[n] for n in kept])]

    assert without(4) == [0, 3, 6, 9, 12]
    assert without(6) == [0, 3, 7, 10]


def test_n_follows_the_wanted_rate_and_the_camera_but_does_not_flicker():
    every_nth = EveryNth()
    assert numbers(10.0, camera(30), every_nth) == [0, 3, 6, 9, 12]
    later = [500 + stamp for stamp in camera(30)]
    assert numbers(15.0, later, every_nth) == [0, 2, 4, 6, 8, 10, 12]
    assert every_nth.camera_rate == pytest.approx(30, abs=0.1)
    slower = [1000 + stamp for stamp in camera(15, 20)]
    assert numbers(15.0, slower, every_nth)[-5:] == [15, 16, 17, 18, 19]
    assert every_nth.n == 1
    # 15.15 and 14.93 Hz in turn: 1.515 and 1.493 times the wanted rate
    steps = [66] * 20 + [67] * 20 + [66] * 20
    chosen = numbers(10.0, [sum(steps[:n]) for n in range(60)])
    assert {b - a for a, b in pairwise(chosen)} == {2}


def test_the_camera_rate_is_known_after_some_images():
    every_nth = EveryNth()
    numbers(10.0, camera(20, STEPS), every_nth)
    assert every_nth.camera_rate is None
    every_nth.select(STEPS * 50 * MS, 10.0)
    assert every_nth.camera_rate == pytest.approx(20)
