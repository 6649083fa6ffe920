import threading

import pytest

from superpoint_rknn.extract.extraction import prefetch


def test_items_are_generated_in_order_while_earlier_ones_are_used():
    generated = [threading.Event() for _ in range(6)]
    threads = set()

    def numbers():
        for number in range(6):
            threads.add(threading.current_thread())
            generated[number].set()
            yield number

    for number in prefetch(numbers(), depth=2):
        # Two more are generated while this one is in use.
        assert generated[min(number + 2, 5)].wait(30)
        assert not any(event.is_set() for event in generated[number + 3 :])
    assert number == 5
    assert len(threads) == 1
    assert threading.current_thread() not in threads


def test_an_error_is_raised_after_the_items_before_it():
    def numbers():
        yield 1
        yield 2
        raise ValueError('no third')

    items = prefetch(numbers())
    assert [next(items), next(items)] == [1, 2]
    with pytest.raises(ValueError, match='no third'):
        next(items)


def test_the_generator_is_closed_by_the_thread_that_ran_it():
    ran, closed = [], []

    def numbers():
        ran.append(threading.current_thread())
        try:
            while True:
                yield 0
        finally:
            closed.append(threading.current_thread())

    items = prefetch(numbers())
    next(items)
    items.close()
    assert closed == ran
