from superpoint_rknn.features.stamps import jumps

MS = 1_000_000


def test_stamps_jump_backwards_or_by_more_than_a_second():
    assert not jumps(None, 5)
    assert not jumps(5, 5)
    assert not jumps(0, 1000 * MS)
    assert jumps(0, 1000 * MS + 1)
    assert jumps(5, 4)
