"""What a task raises, and how it arrives: its type, message, notes, cause and traceback, by every way to call."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
import traceback

import pytest

import tasks
from child import run
from hypern import TaskError, WorkerCrashed
from sync import aside, count, eventually


def by_run_sync(executor, function, *args):
    executor.run_sync(function, *args)


def by_map(executor, function, *args):
    executor.map(function, *([arg] for arg in args))


def by_run_parallel(executor, function, *args):
    executor.run_parallel([(function, args)])


WAYS = (by_run_sync, by_map, by_run_parallel)


@pytest.fixture(params=WAYS, ids=[way.__name__ for way in WAYS])
def way(request):
    return request.param


def text_of(error):
    return "".join(traceback.format_exception(error))


def caught_by(way, executor, function, *args) -> BaseException:
    """The exception of a call; never the kind that would end this program."""
    with pytest.raises(BaseException) as caught:
        way(executor, function, *args)
    assert isinstance(caught.value, RuntimeError), repr(caught.value)
    return caught.value


def noted():
    error = ValueError("noted")
    error.add_note("first note")
    error.add_note("second note")
    return error


ORDINARY = {
    "plain": lambda: ValueError("plain"),
    "no arguments": lambda: ValueError(),
    "two arguments": lambda: ValueError("one", 2),
    "notes": noted,
    "key": lambda: KeyError("key"),
    "index": lambda: IndexError(3),
    "system": lambda: FileNotFoundError(2, "No such file", "name"),
    "timeout": lambda: TimeoutError("late"),
    "unicode": lambda: UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"),
    "zero": lambda: ZeroDivisionError("division by zero"),
    "assertion": lambda: AssertionError("wrong"),
    "stop": lambda: StopIteration(3),
    "stop async": lambda: StopAsyncIteration(),
    "runtime": lambda: RuntimeError("runtime"),
    "not implemented": lambda: NotImplementedError(),
    "recursion": lambda: RecursionError("deep"),
    "memory": lambda: MemoryError("full"),
    "import": lambda: ImportError("no module", name="nowhere"),
    "syntax": lambda: SyntaxError("bad", ("file", 1, 2, "text")),
    "attribute": lambda: AttributeError("no attribute"),
    "warning": lambda: UserWarning("careful"),
    "interrupted": lambda: InterruptedError(4, "interrupted"),
    "custom": lambda: tasks.Custom("custom", 1),
    "slots": lambda: tasks.Slotted("slots", 5),
    "falsey": lambda: tasks.Falsey("falsey"),
    "group": lambda: ExceptionGroup("group", [ValueError("inner"), KeyError("other")]),
    "task error": lambda: TaskError("a task's own"),
}


@pytest.mark.parametrize("name", ORDINARY)
def test_an_exception_keeps_its_type_and_is_a_task_error(pool, way, name):
    original = ORDINARY[name]()
    error = caught_by(way, pool, tasks.raises, original)
    assert isinstance(error, TaskError)
    assert isinstance(error, type(original))
    assert error.args == original.args or name == "group"


@pytest.mark.parametrize("name", [name for name in ORDINARY if name != "task error"])
def test_the_original_is_the_cause(pool, way, name):
    original = ORDINARY[name]()
    cause = caught_by(way, pool, tasks.raises, original).__cause__
    assert type(cause) is type(original)
    assert repr(cause) == repr(original)
    assert getattr(cause, "__notes__", []) == getattr(original, "__notes__", [])


@pytest.mark.parametrize("name", ORDINARY)
def test_the_text_shows_the_line_that_raised(pool, way, name):
    error = caught_by(way, pool, tasks.raises, ORDINARY[name]())
    # The traceback module of CPython 3.11 does not show the cause of an exception that is false.
    text = text_of(error if error else error.__cause__)
    assert "raise error  # the line that raised" in text
    assert "in raises" in text


@pytest.mark.parametrize("name", ORDINARY)
def test_the_exception_of_a_future_is_the_original(pool, name):
    original = ORDINARY[name]()
    error = pool.submit(tasks.raises, original).exception(20)
    assert type(error) is type(original)
    assert repr(error) == repr(original)
    assert getattr(error, "__notes__", []) == getattr(original, "__notes__", [])
    assert "raise error  # the line that raised" in text_of(error)


@pytest.mark.shared
def test_the_exception_of_a_future_is_the_very_object(pool):
    original = ValueError("very")
    assert pool.submit(tasks.raises, original).exception(20) is original


def test_the_message_is_that_of_the_original(pool, way):
    for original in (ValueError("a message"), KeyError("key"), FileNotFoundError(2, "No such file", "name")):
        assert str(caught_by(way, pool, tasks.raises, original)) == str(original)


def test_attributes_of_the_original_can_be_read(pool, way):
    error = caught_by(way, pool, tasks.raises, FileNotFoundError(2, "No such file", "name"))
    assert (error.errno, error.strerror, error.filename) == (2, "No such file", "name")
    assert error.__cause__.errno == 2


def test_a_class_is_made_once_per_type(pool, way):
    first = caught_by(way, pool, tasks.raises, ValueError(1))
    second = caught_by(way, pool, tasks.raises, ValueError(2))
    assert type(first) is type(second)
    assert first is not second


def test_notes_are_in_the_text(pool, way):
    text = text_of(caught_by(way, pool, tasks.raises, noted()))
    assert "first note" in text and "second note" in text


def test_a_subclass_of_both_is_caught_by_either(pool):
    with pytest.raises(ValueError):
        pool.run_sync(tasks.raises, ValueError())
    with pytest.raises(RuntimeError):
        pool.run_sync(tasks.raises, ValueError())
    with pytest.raises(TaskError):
        pool.run_sync(tasks.raises, ValueError())
    with pytest.raises(LookupError):
        pool.run_sync(tasks.raises, KeyError())


def test_a_group_can_be_split(pool):
    error = caught_by(by_run_sync, pool, tasks.raises, ORDINARY["group"]())
    group = error if isinstance(error, ExceptionGroup) else error.__cause__
    matched, rest = group.split(ValueError)
    assert len(matched.exceptions) == len(rest.exceptions) == 1


def test_a_chain_of_causes_arrives(pool, way):
    cause = caught_by(way, pool, tasks.raises_from, ValueError("outer"), KeyError("inner")).__cause__
    assert repr(cause) == repr(ValueError("outer"))
    assert repr(cause.__cause__) == repr(KeyError("inner"))
    text = text_of(cause)
    assert "raise cause  # the line of the cause" in text
    assert "direct cause" in text


def test_a_context_arrives_in_the_text(pool, way):
    def fails_while_failing():
        try:
            raise KeyError("first")
        except KeyError:
            raise ValueError("second")

    text = text_of(caught_by(way, pool, lambda _: fails_while_failing(), None))
    assert "KeyError: 'first'" in text and "ValueError: second" in text


def test_a_suppressed_context_stays_suppressed(pool):
    def fails_while_failing():
        try:
            raise KeyError("first")
        except KeyError:
            raise ValueError("second") from None

    assert "KeyError" not in text_of(pool.submit(fails_while_failing).exception(20))


def test_a_long_chain_of_causes_arrives(pool):
    def chained():
        error = None
        for number in range(100):
            following = ValueError(number)
            following.__cause__ = error
            error = following
        raise error

    error = caught_by(by_run_sync, pool, chained).__cause__
    length = 0
    while error is not None:
        error, length = error.__cause__, length + 1
    assert length == 100


def test_a_circle_of_causes_arrives(pool):
    def circular():
        one, other = ValueError("one"), ValueError("other")
        one.__cause__, other.__cause__ = other, one
        raise one

    error = caught_by(by_run_sync, pool, circular)
    assert isinstance(error, ValueError)
    assert "one" in str(error)


@pytest.mark.parametrize(
    "error", [tasks.Uncombinable("final"), tasks.OfPickyMeta("picky")], ids=lambda e: type(e).__name__
)
def test_a_type_that_cannot_be_combined_arrives_as_a_task_error(pool, way, error):
    caught = caught_by(way, pool, tasks.raises, error)
    assert type(caught) is TaskError
    assert type(caught.__cause__) is type(error)
    assert error.args[0] in str(caught)
    assert type(pool.submit(tasks.raises, error).exception(20)) is type(error)


def test_an_exception_class_may_be_raised(pool, way):
    assert isinstance(caught_by(way, pool, tasks.raises, KeyError), KeyError)


def test_raising_something_else_is_a_type_error(pool, way):
    assert isinstance(caught_by(way, pool, tasks.raises, 5), TypeError)


def test_an_exception_of_a_local_class_can_be_caught(pool, way):
    class Local(Exception):
        pass

    def fails(_):
        raise Local("mine")

    error = caught_by(way, pool, fails, None)
    assert isinstance(error, Local)
    assert type(error.__cause__) is Local


def test_an_exception_of_main_can_be_caught(backend):
    run(
        """
        import sys
        from hypern import BlockingExecutor, TaskError

        class Mine(Exception):
            pass

        def fails():
            raise Mine("of main")

        with BlockingExecutor(1, backend=sys.argv[1]) as executor:
            try:
                executor.run_sync(fails)
            except Mine as error:
                assert isinstance(error, TaskError)
                assert type(error.__cause__) is Mine
                print(error)
            assert type(executor.submit(fails).exception()) is Mine
        """,
        backend,
    ).ok("of main\n")


def test_the_text_of_an_uncaught_error_shows_the_lines_of_task_and_caller(backend):
    done = run(
        """
        import sys
        from hypern import BlockingExecutor

        def fails():
            raise ValueError("uncaught")  # in the task

        with BlockingExecutor(1, backend=sys.argv[1]) as executor:
            executor.run_sync(fails)  # in the caller
        """,
        backend,
    )
    done.failed(1, "# in the task", "# in the caller", "ValueError: uncaught", "in fails")


def test_a_nested_error_is_not_wrapped_twice(pool):
    def nested(executor=pool):
        executor.run_sync(tasks.raises, ValueError("deep"))

    error = caught_by(by_run_sync, pool, nested)
    assert isinstance(error, ValueError)
    assert str(error) == "deep"
    assert "raise error  # the line that raised" in text_of(error)


def test_the_pool_goes_on_after_errors(pool, way):
    for _ in range(count(50, 1000)):
        caught_by(way, pool, tasks.raises, ValueError())
    assert pool.map(tasks.square, range(10)) == [n * n for n in range(10)]


# Row 2: what is not an Exception


@pytest.mark.parametrize("name", tasks.BASE_EXCEPTIONS)
def test_a_base_exception_arrives_as_a_task_error_with_it_as_cause(pool, way, name):
    original = tasks.BASE_EXCEPTIONS[name]()
    error = caught_by(way, pool, tasks.raises_named, name)
    assert type(error) is TaskError
    assert type(error.__cause__) is type(original)
    assert error.__cause__.args == original.args
    assert type(original).__name__ in str(error)
    assert "# the line that raised" in text_of(error)


@pytest.mark.parametrize("name", tasks.BASE_EXCEPTIONS)
def test_a_base_exception_is_the_exception_of_the_future(pool, name):
    error = pool.submit(tasks.raises_named, name).exception(20)
    original = tasks.BASE_EXCEPTIONS[name]()
    assert type(error) is type(original)
    assert error.args == original.args


def test_a_base_exception_ends_no_worker(make):
    executor = make(1)
    worker = executor.run_sync(tasks.place)
    names = list(tasks.BASE_EXCEPTIONS)
    for number in range(count(70, 1000)):
        caught_by(by_run_sync, executor, tasks.raises_named, names[number % len(names)])
    assert executor.run_sync(tasks.place) == worker
    assert executor.active_threads() == executor.pool_size() == 1


def test_a_task_that_calls_sys_exit_ends_nothing(backend):
    run(
        """
        import sys
        from hypern import BlockingExecutor
        executor = BlockingExecutor(1, backend=sys.argv[1])
        future = executor.submit(sys.exit, 3)
        assert type(future.exception(20)) is SystemExit and future.exception().code == 3
        executor.submit(exit, 4).exception(20)
        print(executor.run_sync(abs, -1))
        """,
        backend,
    ).ok("1\n")


def test_a_cancelled_error_of_a_task_does_not_cancel_its_future(pool):
    future = pool.submit(tasks.raises_named, "CancelledError")
    assert isinstance(future.exception(20), asyncio.CancelledError)
    assert not future.cancelled()


# Row 3: callbacks


@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt, tasks.OwnBase], ids=lambda e: e.__name__)
def test_what_a_callback_raises_is_logged_and_nothing_more(make, gate, caplog, error):
    executor = make(1)
    future = executor.submit(gate.door.wait, 1)
    gate.arrived()
    called = []

    def strikes(_):
        raise error("of a callback")

    future.add_done_callback(strikes)
    with caplog.at_level(logging.ERROR):
        gate.open()
        assert future.result(20) == 1
        assert executor.run_sync(tasks.square, 3) == 9
        assert eventually(lambda: any(record.exc_info for record in caplog.records))
    future.add_done_callback(called.append)
    assert called == [future]
    assert "of a callback" in caplog.text
    assert executor.active_threads() == 1


# Rows 5 and 6: what cannot travel

HOSTILE = (tasks.ErrorAtPickle, tasks.ExitAtPickle, tasks.ErrorAtUnpickle, tasks.ExitAtUnpickle)


@pytest.mark.isolated
@pytest.mark.parametrize("kind", HOSTILE, ids=lambda kind: kind.__name__)
def test_a_hostile_argument_is_an_error_of_its_task_alone(pool, way, kind):
    error = caught_by(way, pool, tasks.nothing, kind())
    assert "struck at" in text_of(error)
    assert pool.run_sync(tasks.square, 3) == 9


@pytest.mark.isolated
@pytest.mark.parametrize("kind", HOSTILE, ids=lambda kind: kind.__name__)
def test_a_hostile_result_is_an_error_of_its_task_alone(pool, way, kind):
    error = caught_by(way, pool, tasks.returns_hostile, kind)
    assert "struck at" in text_of(error)
    assert pool.run_sync(tasks.square, 3) == 9


@pytest.mark.isolated
@pytest.mark.parametrize("kind", HOSTILE, ids=lambda kind: kind.__name__)
def test_a_hostile_exception_arrives_as_text(pool, way, kind):
    error = caught_by(way, pool, tasks.raises_hostile, kind)
    assert isinstance(error, TaskError)
    assert "StrikingException" in str(error)
    assert "it is hostile" in str(error)
    assert "# the line that raised" in text_of(error)
    assert pool.run_sync(tasks.square, 3) == 9


@pytest.mark.isolated
@pytest.mark.parametrize("kind", HOSTILE, ids=lambda kind: kind.__name__)
def test_the_future_of_a_hostile_task_has_an_error(pool, kind):
    for function, argument in (
        (tasks.nothing, kind()),
        (tasks.returns_hostile, kind),
        (tasks.raises_hostile, kind),
    ):
        try:
            future = pool.submit(function, argument)
        except Exception:
            continue  # refused at once, which will do
        assert future.exception(20) is not None
    assert pool.run_sync(tasks.square, 3) == 9


@pytest.mark.own_process
def test_an_argument_that_kills_the_worker_fails_its_task_alone(make, way):
    executor = make(1)
    assert isinstance(caught_by(way, executor, tasks.nothing, tasks.CrashAtUnpickle()), WorkerCrashed)
    assert executor.run_sync(tasks.square, 3) == 9


@pytest.mark.own_process
@pytest.mark.parametrize("function", [tasks.returns_hostile, tasks.raises_hostile], ids=lambda f: f.__name__)
def test_an_outcome_that_kills_the_worker_fails_its_task_alone(make, way, function):
    executor = make(1)
    assert isinstance(caught_by(way, executor, function, tasks.CrashAtPickle), WorkerCrashed)
    assert executor.run_sync(tasks.square, 3) == 9


@pytest.mark.isolated
def test_the_error_of_an_argument_names_its_place(pool):
    error = caught_by(by_run_sync, pool, tasks.nothing, 0, threading.Lock())
    assert "argument 1" in text_of(error) or "argument 2" in text_of(error)
    assert "lock" in text_of(error)
    with pytest.raises(Exception) as caught:
        pool.run_sync(tasks.nothing, 0, name=threading.Lock())
    assert "'name'" in text_of(caught.value) or "name" in str(caught.value)


@pytest.mark.isolated
def test_a_result_that_cannot_travel_is_a_clear_error(pool, way):
    error = caught_by(way, pool, lambda _: threading.Lock(), None)
    assert "lock" in str(error)
    assert "result" in str(error)


@pytest.mark.isolated
def test_a_generator_as_result_is_a_clear_error(pool):
    def generator():
        yield 1

    assert "generator" in str(caught_by(by_run_sync, pool, generator))


@pytest.mark.isolated
def test_bad_and_good_tasks_in_turn_give_every_good_result(pool):
    futures, refused = [], 0
    for number in range(100):
        futures.append(pool.submit(tasks.square, number))
        try:
            pool.submit(tasks.nothing, HOSTILE[number % 4]()).add_done_callback(lambda future: future.exception())
        except Exception:
            refused += 1
    assert [future.result(30) for future in futures] == [n * n for n in range(100)]


@pytest.mark.isolated
@pytest.mark.parametrize(
    ("error", "words"),
    [
        ((tasks.TwoArguments, "size", 5), ["TwoArguments", "size is 5"]),
        ((tasks.HoldsLock, "locked"), ["HoldsLock", "locked"]),
    ],
    ids=["two arguments", "holds a lock"],
)
def test_an_oddly_built_exception_keeps_its_name_message_and_traceback(pool, way, error, words):
    def fails(_):
        raised = error[0](*error[1:])
        raised.add_note("a note of it")
        raise raised  # the line that raised

    arrived = caught_by(way, pool, fails, None)
    assert isinstance(arrived, TaskError)
    text = text_of(arrived)
    for word in words:
        assert word in str(arrived) or isinstance(arrived, error[0])
        assert word in text
    assert "# the line that raised" in text
    assert "a note of it" in text
    future = pool.submit(fails, None)
    assert isinstance(future.exception(20), (TaskError, error[0]))
    assert "# the line that raised" in text_of(future.exception())


def test_an_exception_with_keyword_arguments_arrives(pool, way):
    def fails(_):
        raise tasks.KeywordOnly("keyword", code=3)

    error = caught_by(way, pool, fails, None)
    assert isinstance(error, TaskError)
    assert "keyword" in str(error)


def test_an_exception_without_a_text_arrives(pool, way):
    def fails(_):
        raise tasks.BadText("unseen")  # the line that raised

    error = caught_by(way, pool, fails, None)
    assert isinstance(error, TaskError)
    assert "BadText" in text_of(error)
    assert "# the line that raised" in text_of(error)
    assert pool.run_sync(tasks.square, 3) == 9


@pytest.mark.isolated
def test_a_cause_that_cannot_travel_does_not_hide_the_error(pool):
    def fails():
        try:
            raise tasks.HoldsLock("the cause")
        except tasks.HoldsLock as error:
            raise ValueError("the error") from error  # the line that raised

    error = caught_by(by_run_sync, pool, fails)
    text = text_of(error)
    assert "the error" in str(error)
    assert "HoldsLock" in text and "the cause" in text and "# the line that raised" in text


def test_an_exception_with_a_traceback_through_many_frames_arrives(pool):
    def deep(depth):
        if depth == 0:
            raise ValueError("bottom")  # the line that raised
        deep(depth - 1)

    assert "# the line that raised" in text_of(caught_by(by_run_sync, pool, deep, 200))


def test_a_syntax_error_of_a_task_arrives(pool):
    error = caught_by(by_run_sync, pool, compile, "a b", "file", "exec")
    assert isinstance(error, SyntaxError)


def test_an_error_of_an_import_in_a_task_arrives(pool):
    def imports():
        import a_module_that_is_nowhere  # noqa: F401

    error = caught_by(by_run_sync, pool, imports)
    assert isinstance(error, ModuleNotFoundError)
    assert error.__cause__.name == "a_module_that_is_nowhere"


@pytest.mark.isolated
def test_a_function_that_is_nowhere_to_be_imported_is_an_error_of_its_task(pool, tmp_path, monkeypatch):
    """The caller can import the module, the worker cannot: it was removed in between."""
    module = tmp_path / "here_and_gone.py"
    module.write_text("def function(): return 5\n")
    monkeypatch.syspath_prepend(os.fspath(tmp_path))
    import here_and_gone

    module.unlink()
    try:
        with pytest.raises(RuntimeError) as caught:
            pool.run_sync(here_and_gone.function)
        assert "here_and_gone" in text_of(caught.value)
    finally:
        del sys.modules["here_and_gone"]
    assert pool.run_sync(tasks.square, 3) == 9


def test_errors_of_many_threads_do_not_mix(pool):
    def caller(number):
        return all(
            str(caught_by(by_run_sync, pool, tasks.raises, ValueError(f"{number}.{step}"))) == f"{number}.{step}"
            for step in range(30)
        )

    callers = [aside(caller, number) for number in range(8)]
    assert all(each.result(60) for each in callers)


def test_an_error_that_is_a_task_error_and_one_of_the_system_crosses_as_itself():
    from hypern import TaskTimeout
    from hypern._raised import decode_error, encode_error

    error = decode_error(encode_error(TaskTimeout("too long")), [])
    assert type(error) is TaskTimeout
    assert str(error) == "too long"
