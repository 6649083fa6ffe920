"""The inference thread, with a runtime that fails or blocks on demand."""

import threading
import time

import numpy as np

from superpoint_rknn.features.quantization import Quantization
from superpoint_rknn.nodes.common.running_clock import RunningClock
from superpoint_rknn.nodes.superpoint import worker as worker_module
from superpoint_rknn.nodes.superpoint.mailbox import Mailbox
from superpoint_rknn.nodes.superpoint.worker import FAILURES_BEFORE_REOPENING, Worker
from superpoint_rknn.runtimes.runtime import RuntimeUnavailableError, TensorSpec

UINT8 = np.dtype(np.uint8)
IMAGE = np.zeros((16, 24), np.uint8)


class FaultyRuntime:
    """A runtime without a network that records its calls."""

    name, model, input_table, stages_ms = 'stand-in', 'none@0', None, {}
    input = TensorSpec('image', (1, 1, 16, 24), UINT8, Quantization(1.0, 0, UINT8))
    logits = TensorSpec('semi', (1, 65, 2, 3), np.dtype(np.float32))
    descriptors = TensorSpec('desc', (1, 4, 2, 3), UINT8, Quantization(1.0, 128, UINT8))

    def __init__(self):
        self.threads = set()
        self.broken = False
        self.closed = False
        self.may_return = threading.Event()
        self.may_return.set()
        self.entered = threading.Event()

    def infer(self, image, descriptors):
        assert not self.closed, 'used after close'
        self.threads.add(threading.current_thread())
        self.entered.set()
        self.may_return.wait()
        if self.broken:
            raise RuntimeError('RKNN_ERR_TIMEOUT')
        return np.zeros((65, 2, 3), np.float32)

    def close(self):
        assert not self.closed, 'closed twice'
        self.threads.add(threading.current_thread())
        self.closed = True


class Log:
    def __init__(self):
        self.lines = []

    def error(self, text, **_):
        self.lines.append(text)

    warning = error

    def debug(self, text):
        pass


class Bench:
    """A worker and the runtimes, or errors, that it gets when it opens one."""

    def __init__(self, *runtimes):
        self.runtimes = list(runtimes)
        self.opened = []
        self.log = Log()
        self.handled = []
        self.timeout = 5.0
        self.worker = Worker(self.open, Mailbox(), self.log, lambda: self.timeout)

    def open(self):
        runtime = self.runtimes.pop(0)
        if isinstance(runtime, Exception):
            raise runtime
        self.opened.append((runtime, time.monotonic()))
        return runtime

    def process(self, item, runtime):
        """Stand in for the pipeline, which is the key of a slot in the mailbox."""
        self.handled.append(item)
        if callable(item):
            return item()
        runtime.infer(IMAGE, None)
        return True

    def start(self):
        self.worker.start()
        assert self.worker.opened.wait(5)

    def put(self, item):
        self.worker.mailbox.put(self, item)

    def process_one(self, item):
        self.put(item)
        wait_until(lambda: item in self.handled)
        assert self.worker.mailbox.wait_done(5)


def wait_until(condition):
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


def test_one_thread_uses_and_closes_the_runtime():
    runtime = FaultyRuntime()
    bench = Bench(runtime)
    bench.start()
    for i in range(3):
        bench.process_one(i)
    assert bench.worker.stop(5)
    assert runtime.closed
    assert runtime.threads == {bench.worker}
    assert bench.handled == [0, 1, 2]


def test_a_runtime_that_does_not_open_is_reported():
    bench = Bench(RuntimeUnavailableError('no librknnrt.so found'))
    bench.start()
    assert bench.worker.runtime is None
    assert str(bench.worker.open_error) == 'no librknnrt.so found'
    assert bench.worker.stop(5)


def test_an_error_drops_the_image_and_the_next_one_is_processed():
    runtime = FaultyRuntime()
    bench = Bench(runtime)
    bench.start()
    runtime.broken = True
    bench.process_one('bad')
    assert bench.worker.error_message == 'inference failed: RKNN_ERR_TIMEOUT'
    runtime.broken = False
    bench.process_one('good')
    assert bench.worker.error_message is None
    assert not runtime.closed
    bench.worker.stop(5)


def test_errors_in_a_row_reopen_the_runtime_with_growing_pauses(monkeypatch):
    monkeypatch.setattr(worker_module, 'MIN_RETRY_PAUSE', 0.05)
    first, second = FaultyRuntime(), FaultyRuntime()
    bench = Bench(first, RuntimeUnavailableError('busy'), RuntimeUnavailableError('busy'), second)
    bench.start()
    first.broken = True
    begin = time.monotonic()
    for i in range(FAILURES_BEFORE_REOPENING):
        bench.put(i)
        wait_until(lambda i=i: i in bench.handled)
        if i < FAILURES_BEFORE_REOPENING - 1:
            assert bench.worker.mailbox.wait_done(5)
    wait_until(lambda: bench.worker.reopened == 1)
    assert first.closed
    assert bench.opened[1][1] - begin >= 0.05 + 0.1 + 0.2
    assert any('busy; next attempt in 0.1 s' in line for line in bench.log.lines)
    bench.process_one('after')
    assert bench.worker.error_message is None
    assert bench.worker.stop(5)
    assert second.closed


def test_isolated_errors_do_not_reopen_the_runtime():
    runtime = FaultyRuntime()
    bench = Bench(runtime)
    bench.start()
    for number in range(2 * FAILURES_BEFORE_REOPENING):
        runtime.broken = True
        bench.process_one(f'bad {number}')
        runtime.broken = False
        for repetition in range(3):
            bench.process_one(f'good {number}, {repetition}')
    assert bench.worker.reopened == 0
    assert not runtime.closed
    assert bench.worker.stop(5)


def test_stop_ends_the_retries():
    runtime = FaultyRuntime()
    bench = Bench(runtime, *[RuntimeUnavailableError('gone')] * 1000)
    bench.start()
    runtime.broken = True
    for i in range(FAILURES_BEFORE_REOPENING):
        bench.put(i)
        wait_until(lambda i=i: i in bench.handled)
        if i < FAILURES_BEFORE_REOPENING - 1:
            assert bench.worker.mailbox.wait_done(5)
    wait_until(lambda: runtime.closed)
    assert bench.worker.stop(5)


def test_a_blocked_runtime_is_abandoned_and_not_closed_while_in_use(monkeypatch):
    runtime = FaultyRuntime()
    bench = Bench(runtime)
    bench.start()
    runtime.may_return.clear()
    bench.put('blocked')
    assert runtime.entered.wait(5)
    assert not bench.worker.mailbox.wait_done(0.05)
    assert bench.worker.error_message is None
    bench.timeout = 0.01
    assert bench.worker.error_message is None  # the first inference has another timeout
    monkeypatch.setattr(worker_module, 'LOADING_TIMEOUT', 0.02)
    assert bench.worker.error_message.startswith('the inference has not returned for ')
    assert not bench.worker.stop(0.05)
    assert not runtime.closed
    runtime.may_return.set()
    bench.worker.join(5)
    assert runtime.closed


def test_an_unexpected_error_is_logged_and_the_worker_continues():
    bench = Bench(FaultyRuntime())
    bench.start()

    def fail():
        raise KeyError('a bug')

    bench.put(fail)
    wait_until(lambda: bench.log.lines)
    bench.process_one('next')
    assert any('a bug' in line for line in bench.log.lines)
    assert bench.worker.stop(5)


def test_pauses_grow_while_every_reopened_runtime_fails(monkeypatch):
    monkeypatch.setattr(worker_module, 'MIN_RETRY_PAUSE', 0.05)
    runtimes = [FaultyRuntime() for _ in range(4)]
    for runtime in runtimes:
        runtime.broken = True
    bench = Bench(*runtimes)
    bench.start()
    i = 0
    while len(bench.opened) < 4:
        if bench.worker.mailbox.wait_done(0):
            bench.process_one(i)
            i += 1
    times = [when for _, when in bench.opened]
    assert times[1] - times[0] >= 0.05
    assert times[2] - times[1] >= 0.1
    assert times[3] - times[2] >= 0.2
    assert bench.worker.stop(5)


def start_failing(runtime):
    """Start a worker with a runtime that fails; the next one works."""
    runtime.broken = True
    bench = Bench(runtime, FaultyRuntime())
    bench.start()
    return bench


def test_an_image_without_an_inference_does_not_reset_the_failures():
    broken = FaultyRuntime()
    bench = start_failing(broken)
    for number in range(FAILURES_BEFORE_REOPENING):
        bench.process_one(number)
        bench.put(lambda: False)
        assert bench.worker.mailbox.wait_done(5)
        assert 'inference failed' in (bench.worker.error_message or '') or broken.closed
    wait_until(lambda: bench.worker.reopened)
    bench.process_one('good')
    assert bench.worker.error_message is None
    assert bench.worker.stop(5)


def test_a_runtime_that_fails_to_close_is_reopened():
    class FailsToClose(FaultyRuntime):
        def close(self):
            raise OSError('the driver is gone')

    bench = start_failing(FailsToClose())
    for number in range(FAILURES_BEFORE_REOPENING):
        bench.process_one(number)
    wait_until(lambda: bench.worker.reopened)
    assert any('could not be closed: the driver is gone' in line for line in bench.log.lines)
    bench.process_one('good')
    assert bench.worker.stop(5)


def test_a_runtime_that_fails_more_often_than_it_works_is_reopened():
    runtime = FaultyRuntime()
    bench = Bench(runtime, FaultyRuntime())
    bench.start()
    for number in range(20):
        if bench.worker.reopened or runtime.closed:
            break
        runtime.broken = number % 3 != 0  # two of three fail
        bench.process_one(number)
        if number > 2:
            assert bench.worker.error_message is not None
    wait_until(lambda: bench.worker.reopened == 1)
    assert bench.worker.stop(5)


def test_an_inference_after_the_first_one_has_the_timeout_of_the_parameter():
    runtime = FaultyRuntime()
    bench = Bench(runtime)
    bench.timeout = 0.2
    bench.start()
    bench.process_one('first')
    assert not bench.worker.is_hung
    runtime.may_return.clear()
    bench.put('blocked')
    wait_until(lambda: bench.worker.is_hung)
    assert not bench.worker.is_lost
    assert bench.worker.error_message.startswith('the inference has not returned for ')
    wait_until(lambda: bench.worker.is_lost)
    runtime.may_return.set()
    wait_until(lambda: not bench.worker.is_hung)
    assert bench.worker.error_message is None
    assert not bench.worker.is_lost
    assert bench.worker.stop(5)


def test_a_process_that_was_stopped_during_a_call_is_not_lost():
    runtime = FaultyRuntime()
    bench = Bench(runtime)
    bench.start()
    bench.process_one('first')
    now = [0.0]
    bench.worker._clock = RunningClock(lambda: now[0])
    runtime.entered.clear()
    runtime.may_return.clear()
    bench.put('stopped')
    assert runtime.entered.wait(5)
    now[0] = 1000.0
    assert not bench.worker.is_hung
    assert not bench.worker.is_lost
    for _ in range(16):  # the process runs, but the call does not return
        now[0] += 1.0
        is_lost = bench.worker.is_lost
    assert is_lost
    runtime.may_return.set()
    assert bench.worker.stop(5)


def test_pauses_between_attempts_to_reopen_are_no_blocked_calls(monkeypatch):
    monkeypatch.setattr(worker_module, 'LOADING_TIMEOUT', 0.05)
    runtime = FaultyRuntime()
    bench = Bench(runtime, *[RuntimeUnavailableError('gone')] * 1000)
    bench.timeout = 0.05
    bench.start()
    runtime.broken = True
    for number in range(FAILURES_BEFORE_REOPENING):
        bench.put(number)
        wait_until(lambda number=number: number in bench.handled)
    wait_until(lambda: runtime.closed)
    time.sleep(0.2)  # in the pause of 0.5 s
    assert not bench.worker.is_hung
    assert bench.worker.stop(5)


def test_the_first_inference_after_reopening_has_the_longer_timeout_again():
    first, second = FaultyRuntime(), FaultyRuntime()
    bench = Bench(first, second)
    bench.timeout = 0.05
    bench.start()
    bench.process_one('works')
    first.broken = True
    for number in range(FAILURES_BEFORE_REOPENING):
        bench.process_one(number)
    wait_until(lambda: bench.worker.reopened == 1)
    second.may_return.clear()
    bench.put('slow')
    assert second.entered.wait(5)
    time.sleep(0.2)
    assert not bench.worker.is_hung
    second.may_return.set()
    assert bench.worker.stop(5)
