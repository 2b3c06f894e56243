"""The joblib backend: what joblib documents holds for it, arrays cross without copies, and the workers stay."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
import warnings
from pathlib import Path

import pytest

import child
from sync import Gate, aside, children, eventually, is_alive
from tasks import add, dies_of, identity, process_id, raises, set_remembered, get_remembered, spins, square

joblib = pytest.importorskip("joblib", reason="the group joblib is not installed")
numpy = pytest.importorskip("numpy")

from joblib import Parallel, delayed, effective_n_jobs, parallel_config
from joblib.parallel import get_active_backend

import hypern.joblib
from hypern.errors import BrokenPool, TransferError, WorkerCrashed
from hypern.joblib import HypernBackend

THREADS = HypernBackend().uses_threads
on_processes = pytest.mark.skipif(THREADS, reason="calls run on threads here")
on_threads = pytest.mark.skipif(not THREADS, reason="calls run in processes here")


def over_hypern(n_jobs=2, **options):
    return Parallel(n_jobs=n_jobs, backend="hypern", **options)


def worker(number=None):
    """What tells one worker from another."""
    return threading.get_ident() if THREADS else os.getpid()


def workers():
    """All workers that are kept."""
    with Gate() as gate:
        calls = over_hypern(return_as="generator", batch_size=1)(delayed(meet)(gate.door) for _ in range(2))
        gate.arrived(2)
        gate.open()
        return set(calls)


def meet(door):
    door.wait()
    return worker()


# What joblib documents


def test_results_come_in_order():
    assert over_hypern()(delayed(square)(number) for number in range(100)) == [number**2 for number in range(100)]


def test_results_come_one_by_one():
    for return_as in ("generator", "generator_unordered"):
        results = over_hypern(return_as=return_as)(delayed(square)(number) for number in range(20))
        assert sorted(results) == [number**2 for number in range(20)]


def test_results_come_as_they_are_done():
    with Gate() as gate:
        calls = [delayed(gate.door.wait)("late"), *[delayed(identity)("early")] * 3]
        results = over_hypern(return_as="generator_unordered", batch_size=1)(calls)
        assert [next(results) for _ in range(3)] == ["early"] * 3
        gate.open()
        assert list(results) == ["late"]


def test_lambdas_closures_and_keywords_cross():
    offset = 3
    assert over_hypern()(delayed(lambda number, factor: number * factor + offset)(n, factor=2) for n in (1, 2)) == [
        5,
        7,
    ]


def test_a_context_names_backend_and_workers():
    with parallel_config(backend="hypern", n_jobs=2):
        backend, n_jobs = get_active_backend()
        assert type(backend) is HypernBackend
        assert n_jobs == 2
        assert process_id() not in Parallel()(delayed(process_id)() for _ in range(4)) or THREADS


@pytest.mark.parametrize(("asked", "meant"), [(1, 1), (2, 2), (7, 7), (None, 1), (-1, 4), (-2, 3), (-4, 1), (-40, 1)])
def test_how_many_workers_are_meant(asked, meant, monkeypatch):
    monkeypatch.setattr(joblib, "cpu_count", lambda: 4)
    assert HypernBackend().effective_n_jobs(asked) == meant
    with parallel_config(backend="hypern", n_jobs=asked):
        assert effective_n_jobs(None) == meant


def test_no_workers_is_an_error():
    with pytest.raises(ValueError, match="n_jobs == 0"):
        over_hypern(0)(delayed(abs)(-1) for _ in range(2))


@pytest.mark.parametrize("n_jobs", [1, None])
def test_one_worker_is_the_caller(n_jobs):
    assert over_hypern(n_jobs)(delayed(threading.get_ident)() for _ in range(2)) == [threading.get_ident()] * 2


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt])
def test_what_a_call_raises_is_raised_as_it_was(kind):
    with pytest.raises(kind) as caught:
        over_hypern()(delayed(raises)(kind("about this")) for _ in range(3))
    assert type(caught.value) is kind
    assert caught.value.args == ("about this",)
    assert "in raises" in caught.value.__notes__[0]


def test_what_the_iterable_raises_is_raised():
    def calls():
        yield from [delayed(abs)(-1)] * 10
        raise LookupError("no more")

    with pytest.raises(LookupError, match="no more"):
        over_hypern()(calls())


def test_calls_that_take_too_long_are_stopped_and_the_workers_stay():
    before = workers()
    with pytest.raises(multiprocessing.TimeoutError):
        over_hypern(timeout=0.2)(delayed(spins)() for _ in range(4))
    assert workers() == before


def test_an_error_stops_the_other_calls_and_the_workers_stay():
    before = workers()
    with pytest.raises(ValueError, match="stop"):
        over_hypern(batch_size=1)([delayed(raises)(ValueError("stop")), *[delayed(spins)()] * 5])
    assert workers() == before


def test_a_parallel_that_is_managed_goes_on_after_an_error():
    with over_hypern() as parallel:
        for _ in range(2):
            with pytest.raises(ValueError, match="stop"):
                parallel([delayed(raises)(ValueError("stop"))] * 3)
            assert parallel(delayed(square)(number) for number in range(5)) == [0, 1, 4, 9, 16]


def test_what_a_failed_call_had_not_handed_out_is_forgotten(monkeypatch):
    with over_hypern(batch_size=1) as parallel:
        hand_out = parallel.dispatch_one_batch

        def hand_out_and_fail(iterator):
            more = hand_out(iterator)
            assert eventually(lambda: parallel._aborting)
            return more

        with monkeypatch.context() as patched:
            patched.setattr(parallel, "dispatch_one_batch", hand_out_and_fail)
            with pytest.raises(ValueError, match="stop"):
                parallel([delayed(raises)(ValueError("stop"))] * 4)
        assert parallel([delayed(square)(2)] * 4) == [4] * 4


def test_generators_of_one_context_go_side_by_side():
    with parallel_config(backend="hypern", n_jobs=2):
        first = Parallel(return_as="generator")(delayed(add)(0, number) for number in range(50))
        second = Parallel(return_as="generator")(delayed(add)(100, number) for number in range(50))
        assert [*zip(first, second)] == [(number, 100 + number) for number in range(50)]


def test_a_generator_that_is_let_go_stops_its_own_calls_only():
    kept = over_hypern(return_as="generator", pre_dispatch=2, batch_size=1)(delayed(square)(n) for n in range(30))
    left = over_hypern(return_as="generator", batch_size=1)(delayed(spins)() for _ in range(4))
    with pytest.warns(UserWarning, match="have been cancelled"):
        left.close()
    assert list(kept) == [number**2 for number in range(30)]


# Workers


def test_workers_are_kept_until_others_are_asked_for():
    before = workers()
    assert workers() == before
    assert len(over_hypern(3)(delayed(square)(number) for number in range(3))) == 3
    if not THREADS:
        assert eventually(lambda: not any(map(is_alive, before)))
    assert workers().isdisjoint(before) or THREADS


def test_an_initializer_is_called_in_each_worker():
    asked = {"initializer": set_remembered, "initargs": ("told",)}
    assert set(over_hypern(**asked)(delayed(get_remembered)() for _ in range(8))) == {"told"}
    with parallel_config(backend="hypern", n_jobs=2, **asked):
        assert set(Parallel()(delayed(get_remembered)() for _ in range(8))) == {"told"}


def test_an_initializer_that_fails_breaks_the_pool_and_the_next_parallel_has_another(caplog):
    with pytest.raises(BrokenPool, match="not today"):
        over_hypern(initializer=raises, initargs=(OSError("not today"),))(delayed(abs)(-1) for _ in range(4))
    assert "its pool is broken" in caplog.text
    assert over_hypern()(delayed(abs)(-1) for _ in range(2)) == [1, 1]


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        ({"idle_worker_timeout": 3}, TypeError, "no option 'idle_worker_timeout'"),
        ({"initializer": 3}, TypeError, "initializer must be callable, not int"),
    ],
)
def test_options_that_make_no_sense(options, kind, words):
    with pytest.raises(kind, match=words):
        HypernBackend(**options)
    with pytest.raises(kind, match=words):
        over_hypern(**options)(delayed(abs)(-1) for _ in range(2))


@on_processes
def test_a_worker_that_dies_fails_its_parallel_and_is_replaced():
    with pytest.raises(WorkerCrashed, match="SIGKILL"):
        over_hypern()(delayed(dies_of)(9) for _ in range(2))
    assert len(workers()) == 2


@on_processes
@pytest.mark.parametrize("place", [0, 20])
def test_what_cannot_cross_is_named(place):
    """Also where a worker's thread hands it out, and nobody would be there to be told."""
    calls = [delayed(identity)(threading.Lock() if number == place else number) for number in range(40)]
    with pytest.raises(TransferError, match=r"a call of 'identity' cannot be sent to a worker: .*lock"):
        over_hypern(batch_size=1)(calls)
    with pytest.raises(TransferError, match=r"a result cannot be sent back from the worker: .*lock"):
        over_hypern()(delayed(threading.Lock)() for _ in range(2))


def nested(backend):
    inner = [delayed(worker)() for _ in range(3)]
    active = type(get_active_backend()[0]).__name__
    return worker(), active, Parallel(n_jobs=2, backend=backend)(inner)


def test_nested_calls_are_on_threads_as_with_loky():
    for _, active, _ in over_hypern()(delayed(nested)(None) for _ in range(4)):
        assert active == "ThreadingBackend"


@on_processes
def test_nested_calls_over_hypern_are_made_in_place():
    for where, _, inner in over_hypern()(delayed(nested)("hypern") for _ in range(4)):
        assert inner == [where] * 3


def deep(levels):
    return 1 if not levels else sum(over_hypern(batch_size=1)(delayed(deep)(levels - 1) for _ in range(2)))


def test_nested_calls_never_wait_for_themselves():
    assert over_hypern(batch_size=1)(delayed(deep)(3) for _ in range(4)) == [8] * 4


@on_threads
def test_calls_on_threads_see_the_objects_of_the_caller():
    seen = []
    Parallel(n_jobs=2, backend="hypern", require="sharedmem")(delayed(seen.append)(number) for number in range(20))
    assert sorted(seen) == list(range(20))


@on_processes
def test_calls_that_need_shared_memory_go_to_threads_of_joblib():
    seen = []
    with parallel_config(backend="hypern", n_jobs=2):
        parallel = Parallel(n_jobs=2, require="sharedmem")
        parallel(delayed(seen.append)(number) for number in range(20))
    assert type(parallel._backend).__name__ == "ThreadingBackend"
    assert sorted(seen) == list(range(20))


# Arrays


def about(array):
    file = getattr(array, "filename", None)
    return type(array).__name__, array.flags.writeable, float(array.sum()), file and os.fspath(file)


@on_processes
@pytest.mark.parametrize(
    ("size", "options", "kind"),
    [
        (10, {}, "ndarray"),
        (100_000, {}, "ndarray"),
        (1_000_000, {}, "memmap"),
        (1_000_000, {"max_nbytes": None}, "ndarray"),
        (100, {"max_nbytes": 100}, "memmap"),
        (100, {"max_nbytes": "1K"}, "ndarray"),
        (1_000_000, {"mmap_mode": "c"}, "memmap"),
    ],
)
def test_large_arrays_are_mapped_and_others_are_sent(size, options, kind, tmp_path):
    numpy = pytest.importorskip("numpy")
    arrays = [numpy.ones(size), numpy.arange(size)]
    told = over_hypern(temp_folder=tmp_path, **options)(delayed(about)(array) for array in arrays * 2)
    writable = kind == "ndarray" or "mmap_mode" in options
    assert [row[:3] for row in told] == [(kind, writable, array.sum()) for array in arrays * 2]
    # Each was written once, however often it was sent.
    assert len({row[3] for row in told}) == (1 if kind == "ndarray" else 2)
    assert not os.listdir(tmp_path)


@on_processes
def test_views_objects_and_files_of_the_program_arrive_as_they_are(tmp_path):
    numpy = pytest.importorskip("numpy")
    whole = numpy.arange(4_000_000).reshape(2000, 2000)
    views = [whole[::2, 1::3], whole.T, whole[5:-5]]
    for got, sent in zip(over_hypern()(delayed(identity)(view) for view in views), views, strict=True):
        assert type(got) is numpy.ndarray
        assert (got == sent).all()
    objects = numpy.array([{}, None] * 200_000, dtype=object)
    assert (over_hypern(max_nbytes=1)([delayed(identity)(objects)] * 2)[1] == objects).all()
    own = numpy.memmap(tmp_path / "own", mode="w+", shape=300_000)
    own[:] = 7
    told = over_hypern()(delayed(about)(own) for _ in range(2))
    assert told == [("memmap", True, 2_100_000.0, os.fspath(tmp_path / "own"))] * 2
    back, _ = over_hypern()(delayed(identity)(own) for _ in range(2))
    assert type(back) is numpy.memmap
    assert os.fspath(back.filename) == os.fspath(tmp_path / "own")


@on_processes
def test_files_are_removed_after_an_error_and_by_the_end_of_a_generator(tmp_path):
    numpy = pytest.importorskip("numpy")
    array = numpy.ones(100)
    options = {"temp_folder": tmp_path, "max_nbytes": 1}
    with pytest.raises(ValueError, match="stop"):
        over_hypern(**options)([delayed(about)(array), delayed(raises)(ValueError("stop")), delayed(spins)()])
    assert not os.listdir(tmp_path)
    results = over_hypern(return_as="generator", **options)(delayed(about)(array) for _ in range(9))
    next(results)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # joblib's, where calls were left
        results.close()
    assert not os.listdir(tmp_path)


# Threads of libraries


def limits():
    import numpy
    import threadpoolctl

    numpy.ones((100, 100)) @ numpy.ones((100, 100))
    return os.environ["OMP_NUM_THREADS"], {library["num_threads"] for library in threadpoolctl.threadpool_info()}


@on_processes
def test_threads_of_libraries_are_limited(monkeypatch):
    for module in ("numpy", "threadpoolctl"):
        pytest.importorskip(module)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    share = max(1, joblib.cpu_count() // 2)
    assert over_hypern()(delayed(limits)() for _ in range(2)) == [(str(share), {share})] * 2
    with parallel_config(backend="hypern", n_jobs=2, inner_max_num_threads=2):
        assert Parallel()(delayed(limits)() for _ in range(2))[0] == ("2", {2})
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert over_hypern()(delayed(os.environ.get)("OMP_NUM_THREADS") for _ in range(2)) == ["3"] * 2


@on_threads
def test_threads_of_libraries_cannot_be_limited_for_threads():
    with pytest.raises(AssertionError, match="does not accept setting the inner_max_num_threads"):
        parallel_config(backend="hypern", inner_max_num_threads=1)


# Scikit-learn


def tallied(estimator, rows, targets):
    """A scorer that is all Python."""
    return sum(
        float(guess == target) * (1 + index % 3)
        for index, (guess, target) in enumerate(zip(estimator.predict(rows), targets, strict=True))
    )


def test_scikit_learn_finds_what_it_finds_over_loky():
    pytest.importorskip("sklearn")
    from sklearn.datasets import make_classification
    from sklearn.model_selection import GridSearchCV, cross_val_score
    from sklearn.tree import DecisionTreeClassifier

    rows, targets = make_classification(300, random_state=0)
    found = {}
    for backend in ("hypern", "loky"):
        with parallel_config(backend=backend, n_jobs=2):
            grid = {"max_depth": [1, 3, 5]}
            search = GridSearchCV(DecisionTreeClassifier(random_state=0), grid, scoring=tallied, cv=3)
            search.fit(rows, targets)
            scores = cross_val_score(search.best_estimator_, rows, targets, scoring=tallied, cv=4)
        found[backend] = search.best_params_, search.cv_results_["mean_test_score"].tolist(), scores.tolist()
    assert found["hypern"] == found["loky"]
    assert len(set(found["hypern"][1])) > 1


@on_threads
def test_scikit_learn_leaves_the_gil_off():
    pytest.importorskip("sklearn")
    child.run("import sys, sklearn.tree, hypern.joblib; assert not sys._is_gil_enabled()").ok()


# Programs


@on_threads
def test_calls_run_in_processes_where_the_gil_is_on():
    script = """
        import os
        from joblib import Parallel, delayed
        import hypern.joblib
        assert os.getpid() not in Parallel(n_jobs=2, backend="hypern")(delayed(os.getpid)() for _ in range(4))
        """
    child.run(script, flags=(*child.STRICT, "-X", "gil=1")).ok()


PAGE = Path(__file__).parent.parent / "docs" / "joblib.md"


@pytest.mark.skipif(not PAGE.exists(), reason="run without a checkout")
def test_the_program_of_the_page_runs():
    pytest.importorskip("sklearn")
    program = PAGE.read_text().split("```python\n")[1].split("```")[0]
    assert child.run(program).ok().out.startswith("{'max_depth': ")


def test_without_joblib_the_error_names_the_extra():
    done = child.run(
        """
        import sys
        class Missing:
            def find_spec(name, path, target=None):
                if name == "joblib":
                    raise ModuleNotFoundError(name=name)
        sys.meta_path.insert(0, Missing)
        import importlib.util
        real = importlib.util.find_spec
        importlib.util.find_spec = lambda name: None if name == "joblib" else real(name)
        try:
            import hypern.joblib
        except ImportError as error:
            print(error)
        """
    )
    done.ok("joblib is not installed: pip install 'hypern[joblib]'\n")


def test_a_program_ends_with_its_workers_and_leaves_no_file():
    """No guard of ``__main__``, a class of its own, and a generator that nobody has emptied."""
    done = child.run(
        """
        import os, tempfile
        from joblib import Parallel, delayed
        import hypern.joblib

        class Point:
            def __init__(self, x): self.x = x

        def move(point, by): return Point(point.x + by)

        def where(_): return os.getpid()

        folder = tempfile.mkdtemp(dir=".")
        points = Parallel(n_jobs=2, backend="hypern")(delayed(move)(Point(x), 1) for x in range(4))
        print(all(isinstance(point, Point) for point in points), [point.x for point in points])
        generator = Parallel(n_jobs=2, backend="hypern", return_as="generator")(delayed(where)(x) for x in range(4))
        print(*{*generator} - {os.getpid()})
        """
    ).ok()
    first, second = done.out.splitlines()
    assert first == "True [1, 2, 3, 4]"
    assert eventually(lambda: not any(is_alive(int(number)) for number in second.split()))


def test_a_forked_child_has_workers_of_its_own():
    child.run(
        """
        import os, warnings
        from joblib import Parallel, delayed
        import hypern.joblib
        over = lambda: Parallel(n_jobs=2, backend="hypern")(delayed(abs)(-number) for number in range(4))
        assert over() == [0, 1, 2, 3]
        warnings.simplefilter("ignore")  # of threads, which are at rest
        process = os.fork()
        if process == 0:
            assert over() == [0, 1, 2, 3]
            os._exit(0)
        assert os.waitpid(process, 0)[1] == 0
        assert over() == [0, 1, 2, 3]
        """
    ).ok()


def test_joblib_can_be_switched_to_one_process():
    child.run(
        """
        import os
        from joblib import Parallel, delayed
        import hypern.joblib
        assert set(Parallel(n_jobs=2, backend="hypern")(delayed(os.getpid)() for _ in range(2))) == {os.getpid()}
        """,
        env={"JOBLIB_MULTIPROCESSING": "0"},
    ).ok()


@pytest.mark.timeout(300)
def test_the_tests_of_joblib_pass():
    """Which do not hold, and why, is in joblib_suite.py."""
    script = os.fspath(child.HERE / "joblib_suite.py")
    with child.Child("-X", "faulthandler", script) as suite:
        done = suite.finish(patience=240)
    assert done.rc == 0, done.report()
    assert " passed" in done.out, done.report()


def test_a_thread_that_a_call_starts_may_use_the_backend():
    """On threads, where its workers must not be those that wait for it."""

    def inner():
        return Parallel(n_jobs=2, backend="hypern")(delayed(abs)(number) for number in (-1, -2))

    def outer(_):
        return aside(inner).result(timeout=60)

    assert Parallel(n_jobs=2, backend="hypern")(delayed(outer)(number) for number in range(4)) == [[1, 2]] * 4


def test_one_backend_may_serve_several_threads():
    backend = HypernBackend()

    def work(base):
        return [
            Parallel(n_jobs=2, backend=backend)(delayed(abs)(-number) for number in range(base, base + 5))
            for _ in range(5)
        ]

    running = [aside(work, base) for base in (0, 10, 20)]
    assert [each.result(timeout=100) for each in running] == [[list(range(base, base + 5))] * 5 for base in (0, 10, 20)]


def test_an_initializer_may_be_given_a_large_array():
    ones = numpy.ones(100_000)
    with parallel_config(backend="hypern", n_jobs=2, initializer=set_remembered, initargs=(ones,)):
        assert [int(array.sum()) for array in Parallel()(delayed(get_remembered)() for _ in range(3))] == [100_000] * 3


def test_without_a_mode_nothing_is_mapped():
    array = numpy.ones(1 << 18)
    assert (
        Parallel(n_jobs=2, backend="hypern", mmap_mode=None)(delayed(numpy.sum)(array) for _ in range(2))
        == [1 << 18] * 2
    )
