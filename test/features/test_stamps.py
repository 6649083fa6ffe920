from superpoint_rknn.features.stamps import Cadence, jumps

MS = 1_000_000


def test_stamps_jump_backwards_or_by_more_than_a_second():
    assert not jumps(None, 5)
    assert not jumps(5, 5)
    assert not jumps(0, 1000 * MS)
    assert jumps(0, 1000 * MS + 1)
    assert jumps(5, 4)


def chosen(rate, *stamps):
    cadence = Cadence()
    result = []
    for stamp in stamps:
        if cadence.is_due(stamp * MS, rate):
            cadence.choose(stamp * MS)
            result.append(stamp)
    return result


def test_chosen_moments_are_at_least_a_period_apart():
    assert chosen(5.0, *range(0, 1000, 33)) == [0, 231, 462, 693, 924]
    assert chosen(5.0, 0, 199, 200, 399, 400) == [0, 200, 400]
    assert chosen(1000.0, 0, 33, 66) == [0, 33, 66]


def test_where_time_runs_back_it_begins_anew():
    assert chosen(5.0, 900, 1000, 0, 100, 200) == [900, 0, 200]
