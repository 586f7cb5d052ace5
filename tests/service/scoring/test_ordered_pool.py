"""The ordered pool: results in order, a bounded number of items in memory, errors in place."""

import sys
import threading
import time

import pytest

from gatewise.service.scoring.ordered_pool import in_order


def test_results_come_in_the_order_of_the_items():
    def work(number):
        time.sleep(0.002 * (number % 3))
        return -number

    assert list(in_order(work, range(30), 4)) == [-number for number in range(30)]


def test_items_are_taken_only_as_fast_as_they_are_processed():
    taken, proceed = [], threading.Event()

    def items():
        for number in range(100):
            taken.append(number)
            yield number

    def work(number):
        proceed.wait(10)
        return number

    results = in_order(work, items(), 2)
    first = threading.Thread(target=lambda: next(results))
    first.start()
    time.sleep(0.2)
    assert len(taken) == 5
    proceed.set()
    first.join()
    assert list(results) == list(range(1, 100))


def test_workers_run_concurrently():
    both = threading.Barrier(2, timeout=10)
    assert list(in_order(lambda number: both.wait() >= 0 and number, range(4), 2)) == [0, 1, 2, 3]


def test_error_is_raised_in_place_of_its_result():
    def work(number):
        if number == 3:
            raise ValueError("three")
        return number

    before = sys.getswitchinterval()
    results = in_order(work, range(1000), 2)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="three"):
        next(results)
    assert sys.getswitchinterval() == before


def test_closing_early_waits_for_started_items_only():
    started = []

    def work(number):
        started.append(number)
        return number

    before = sys.getswitchinterval()
    results = in_order(work, range(1000), 2)
    assert next(results) == 0
    assert sys.getswitchinterval() < before
    results.close()
    assert len(started) <= 6
    assert sys.getswitchinterval() == before


def test_overlapping_runs_restore_the_switch_interval():
    before = sys.getswitchinterval()
    first, second = (in_order(abs, range(10), 2) for _ in range(2))
    assert next(first) == next(second) == 0
    first.close()
    assert sys.getswitchinterval() < before
    second.close()
    assert sys.getswitchinterval() == before
