"""The default backend means the same as a plain call: whatever leaves, nobody can tell.

Random programs (`programs_random`) are run serially, on threads and by the default, in every way to call them; then
come examples of what a user may lean on.
"""

from __future__ import annotations

import collections
import concurrent.futures
import contextvars
import dataclasses
import decimal
import fractions
import itertools
import math
import os
import sys
import threading
from unittest import mock

import pytest
from hypothesis import HealthCheck, Phase, given, settings

import tasks
from child import STRICT, run
from hypern import BlockingExecutor, TaskError, _auto_batch, _route
from programs_random import FILE, Picture, World, made, programs
from programs_telling import TELLING, WORLD
from sync import LONG, count

EXAMPLES = count(150, 2500)

AWAY = _route.away_backend()
pytestmark = pytest.mark.skipif(AWAY is None, reason="the default is threads here")


@pytest.fixture
def eager(monkeypatch):
    """Batches leave as soon as they may, however cheap their items are."""
    monkeypatch.setattr(_auto_batch, "LEAST", {AWAY: 0.0})
    monkeypatch.setattr(_auto_batch, "BEFORE_OPENING", 0.0)
    # Nothing leaves beside a chunk that is still here: which of two failures is known first would be up to the machine.
    monkeypatch.setattr(_auto_batch, "PATIENCE", 60.0)
    monkeypatch.setattr(_auto_batch, "CONCLUSIVE", 0.0)


# The differential test


def one(executor, function, args):
    return function(*args) if executor is None else executor.run_sync(function, *args)


def by_name(executor, function, args):
    kwargs = dict(zip("xy", args))
    return function(**kwargs) if executor is None else executor.run_sync(function, **kwargs)


def submitted(executor, function, args):
    return function(*args) if executor is None else executor.submit(function, *args).result()


def mapped(executor, function, items, chunk_size=0):
    return [function(item) for item in items] if executor is None else executor.map(function, items, chunk_size)


def in_parallel(executor, function, calls):
    if executor is not None:
        return executor.run_parallel(calls)
    results, failure = [], None
    for call in calls:
        try:
            results.append(call[0](*call[1]))
        except Exception as error:
            failure = failure or error
    if failure is not None:
        raise failure
    return results


def ways(world, program):
    """What to call, with what, and whether a failure leaves behind what a loop would."""
    args = world.first, world.second
    yield one, (args,), True
    yield by_name, (args,), True
    yield submitted, (args,), True
    whole = program.chunk_size == 50
    yield mapped, (world.items, program.chunk_size), whole
    yield in_parallel, ([(world.function, (item,)) for item in world.items],), True


def outcome(executor, program, number):
    """What came of one way to call a program, as a picture; and the route it took."""
    world = World(program)
    way, args, comparable = list(ways(world, program))[number]
    picture = Picture(world.names)
    route = None
    if executor is not None and hasattr(executor._pool, "explain"):
        data = (args[0], None) if number < 3 else ((), None)
        route = executor._pool.explain(world.function, data).backend
    failed = False
    try:
        result = "returned", picture.of(way(executor, world.function, *args))
    except Exception as error:
        if isinstance(error, TaskError) and error.__cause__ is not None and way is not submitted and executor:
            error = error.__cause__
        result, failed = ("raised", picture.error(error)), True
    if route not in (None, "threads") and world.function is world.names["program"]:
        stayed = executor._pool.explain(world.function).backend == "threads"
        route = "came back" if stayed else route
    if failed and not comparable:
        return (way.__name__, result), route
    after = picture.of([world.first, world.second, world.items])
    return (way.__name__, result, after, picture.world(world.names)), route


@pytest.mark.timeout(2400)
def test_random_programs_mean_the_same_everywhere(eager, record_property):
    routes = collections.Counter()

    @given(programs())
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=not LONG,
        # Not to explain, for which hypothesis traces what it runs again: then every call stays, and nothing disagrees.
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    def same(program):
        try:
            compile(program.source, FILE, "exec")
        except SyntaxError:
            routes["no program"] += 1
            return
        for number in range(5):
            serial, _ = outcome(None, program, number)
            on_threads, _ = outcome(threads, program, number)
            assert on_threads == serial, program
            by_default, route = outcome(auto, program, number)
            assert by_default == serial, program
            if number == 0:
                routes[route] += 1

    # With one worker, a batch is run in order.
    with BlockingExecutor(1, backend="threads") as threads, BlockingExecutor(1) as auto:
        # Opened now: hypothesis raises the recursion limit, and calls stay where it is lower than at the beginning.
        auto.run_sync(abs, -1)
        same()
    record_property("routes", dict(routes))
    print(routes)
    # What came back ran elsewhere, too. Sets keep many of them here, whose order is another one in a process.
    assert routes[AWAY] + routes["came back"] >= 0.4 * routes.total()


# Programs that try to tell


def told(executor, telling):
    """What a program tells in three calls."""
    names = made(WORLD + telling.source)
    names["given"] = eval(telling.given, names)
    heard = []
    for _ in range(3):
        names["r"] = submitted_or_raised(executor, names["program"], names["given"])
        heard.append(repr(eval(telling.asked, names)))
        exec(telling.change, names)
    return heard


def submitted_or_raised(executor, function, given):
    try:
        return submitted(executor, function, (given,))
    except Exception as error:
        return error


@pytest.fixture(scope="module")
def one_worker():
    with BlockingExecutor(1) as executor:
        yield executor


@pytest.mark.parametrize("telling", TELLING, ids=str)
def test_no_program_can_tell(one_worker, telling):
    assert told(one_worker, telling) == told(None, telling)


class OneMore(int):
    def __new__(cls, number):
        return super().__new__(cls, number + 1)


class Guarded:
    __slots__ = ("number",)

    def __init__(self, number):
        self.number = number

    def __getattr__(self, name):
        return self.number


@dataclasses.dataclass(frozen=True)
class Point:
    x: int


def makes_instances(number):
    return OneMore(number), Guarded(number).number, Guarded(number), {Point(number): Point(number + 1)}


def raises_an_instance(number):
    raise ValueError(Point(number))


def test_instances_of_the_program_cross(auto):
    one, number, guarded, points = auto.run_sync(makes_instances, 3)
    assert (one, type(one), number, guarded.number, type(guarded)) == (4, OneMore, 3, 3, Guarded)
    assert points == {Point(3): Point(4)}
    assert auto.submit(raises_an_instance, 3).exception().args == (Point(3),)
    assert left(auto, makes_instances) and left(auto, raises_an_instance)
    assert auto.stats().came_back == {}


class Extended:
    pass


def is_extended(_):
    return hasattr(Extended(), "more")


def is_extended_too(_):
    return hasattr(Extended(), "more")


def test_a_class_that_several_functions_reach_loses_an_attribute(auto):
    Extended.more = 1
    assert auto.run_sync(is_extended, 1) and auto.run_sync(is_extended_too, 1)
    del Extended.more
    assert not auto.run_sync(is_extended, 1) and not auto.run_sync(is_extended_too, 1)
    assert left(auto, is_extended) and left(auto, is_extended_too)


@pytest.mark.skipif(sys.version_info < (3, 13) or sys.version_info >= (3, 15), reason="of CPython 3.13 and 3.14")
def test_sets_where_calls_leave_to_processes_instead():
    script = """
import tracemalloc
tracemalloc.start()
from hypern import BlockingExecutor
words = "one two three four five six seven eight nine ten eleven twelve".split()
def ordered(words): return list({*words})
def counted(words): return len({*words})
with BlockingExecutor(1) as executor:
    print(executor.explain(counted, words).backend, executor.run_sync(counted, words))
    print(executor.explain(ordered, words).backend, executor.run_sync(ordered, words) == ordered(words))
"""
    run(script).ok("processes 12\nthreads True\n")


# What the differential test found


a_pair = collections.namedtuple("Pair", "a b")(1, 2)


def writes_where_there_is_no_place(number):
    [a_pair][0].hits = number


def test_a_class_keeps_its_slots(auto):
    with pytest.raises(AttributeError):
        auto.run_sync(writes_where_there_is_no_place, 1)


def appends(values):
    values.append(1)
    return len(values)


@pytest.mark.parametrize("way", ["map", "run_parallel"])
def test_what_ran_here_is_not_run_again(eager, auto, way):
    items = [[number] for number in range(6)]
    auto.run_sync(abs, -1)
    if way == "map":
        auto.map(appends, items, chunk_size=1)
    else:
        auto.run_parallel([(appends, (item,)) for item in items])
    assert items == [[number, 1] for number in range(6)]


def test_what_took_long_here_is_not_run_again(auto):
    def appends_slowly(values):
        values.append(sum(range(2_000_000)))

    items = [[] for _ in range(4)]
    auto.map(appends_slowly, items, chunk_size=1)
    assert [len(item) for item in items] == [1, 1, 1, 1]


def helper(number):
    return number + 1


def with_a_global_in_a_class_body(number):
    class Local:
        value = helper(2)

    return Local.value + number


def with_a_type_in_a_class_body(number):
    class Local:
        third = fractions.Fraction(1, 3)

    return Local.third * number


@pytest.mark.parametrize("function", [with_a_global_in_a_class_body, with_a_type_in_a_class_body])
def test_a_class_body_reads_globals(auto, function):
    assert auto.run_sync(function, 3) == function(3)


def test_an_exception_of_a_class_made_in_the_call(auto):
    def raises_its_own(number):
        class Local(LookupError):
            code = 7

        raise Local(number)

    error = auto.submit(raises_its_own, 3).exception()
    assert type(error).code == 7 and isinstance(error, LookupError)
    assert type(error).__qualname__.endswith("raises_its_own.<locals>.Local")


class Carrying(Exception):
    def __init__(self, what):
        super().__init__("carries")
        self.what = what


def raises_it(values):
    raise ValueError(values)


def raises_a_list_of_it(values):
    raise ValueError([values])


def carries_it(values):
    raise Carrying(values)


def raises_from_it(values):
    raise ValueError from KeyError(values)


@pytest.mark.parametrize(
    ("function", "part"),
    [
        (raises_it, lambda error: error.args[0]),
        (raises_a_list_of_it, lambda error: error.args[0][0]),
        (carries_it, lambda error: error.what),
        (raises_from_it, lambda error: error.__cause__.args[0]),
    ],
)
def test_an_argument_is_raised(auto, function, part):
    values = [1]
    assert part(auto.submit(function, values).exception()) is values


RETURNING_A_TUPLE = {
    "it": lambda values: values,
    "in a list": lambda values: [values],
    "in a dict": lambda values: {"values": values},
}


@pytest.mark.parametrize("kind", RETURNING_A_TUPLE)
def test_a_tuple_with_a_list_in_it_is_returned(auto, kind):
    inner = [1]
    result = auto.run_sync(RETURNING_A_TUPLE[kind], (inner,))
    while type(result) is not list or result == [(inner,)]:
        result = next(iter(result.values() if type(result) is dict else result))
    assert result is inner


# What leaves


@pytest.fixture
def auto():
    with BlockingExecutor(2) as executor:
        yield executor


def left(executor, function):
    """Whether calls of a function leave, and none came back."""
    return executor._pool.opened() and executor._pool.explain(function).backend == AWAY


def heavy_computation(n):
    """Some CPU-intensive work."""
    return sum(i * i for i in range(n))


def complex_scoring(record):
    return sum(math.sqrt(n) for n in range(record["id"] % 7 + 2000))


def compute_hash(payload):
    import hashlib

    return hashlib.sha256(payload.encode()).hexdigest()


def transform_record(record):
    return {"id": record["id"], "score": complex_scoring(record), "hash": compute_hash(record["payload"])}


def test_heavy_computation_leaves(auto):
    assert auto.run_sync(heavy_computation, 100_000) == heavy_computation(100_000)
    assert left(auto, heavy_computation)


def test_a_lambda_in_map_leaves(auto):
    square = lambda x: x**2
    assert auto.map(square, range(300_000)) == [x**2 for x in range(300_000)]
    assert auto._pool.explain(square).backend == AWAY


def test_parallel_data_processing_leaves(auto):
    records = [{"id": number, "payload": "p" * (number % 50)} for number in range(1000)]
    assert auto.map(transform_record, records, chunk_size=50) == [transform_record(record) for record in records]
    assert left(auto, transform_record)


def test_a_cheap_map_opens_no_pool_elsewhere():
    """Unless the machine is so busy that it looks expensive: then one of the next."""
    opened = []
    while len(opened) < 20 and not (opened and opened[-1] is False):
        with BlockingExecutor(2) as executor:
            assert executor.map(lambda x: x**2, range(1000)) == [x**2 for x in range(1000)]
            opened.append(executor._pool.opened())
    assert opened[-1] is False


@pytest.mark.parametrize("number", [0, 1, 2, 1000])
@pytest.mark.parametrize("kind", [list, tuple, iter])
def test_map_over_few_and_many(eager, auto, number, kind):
    assert auto.map(heavy_computation, kind(range(number))) == [heavy_computation(n) for n in range(number)]


def test_value_types_come_back_equal(auto):
    import datetime

    def program(price, day):
        return {"price": price * 3, "day": day + datetime.timedelta(1), "share": fractions.Fraction(1, 3)}

    args = decimal.Decimal("1.10"), datetime.date(2024, 2, 28)
    assert auto.run_sync(program, *args) == program(*args)
    assert left(auto, program)


# What a program could tell by


def test_the_caller_has_no_more_context_than_before(auto):
    """To look at a decimal, or for the context of decimals, makes one, which tasks would share from then on."""
    price = contextvars.Context().run(decimal.Decimal, "1.10")

    def program(divisor=1):
        return price / 3 / divisor

    def calls():
        auto.run_sync(program)
        auto.map(program, [price])
        return [*contextvars.copy_context()]

    assert contextvars.Context().run(calls) == []
    assert left(auto, program)


def test_a_changed_argument(auto):
    values = [3, 1, 2]

    def sorts(values):
        values.sort()

    for _ in range(2):  # The second time it is known.
        values[:] = [3, 1, 2]
        assert auto.run_sync(sorts, values) is None
        assert values == [1, 2, 3]


def test_a_returned_argument(auto):
    values = [1]
    assert auto.run_sync(lambda values: values, values) is values
    assert auto.run_sync(lambda values: {"k": [values]}, values)["k"][0] is values
    assert auto.submit(lambda values: values, values).result() is values
    assert auto.run_parallel([(lambda values: values, (values,))])[0] is values
    assert all(result is values for result in auto.map(lambda values: values, [values] * 100, chunk_size=10))


def test_a_part_of_an_argument_is_returned(auto):
    values = {"rows": [[1], [2]]}
    assert auto.run_sync(lambda values: values["rows"][1], values) is values["rows"][1]


class Keeper:
    kept = []


def test_a_kept_argument(auto):
    def keep(values):
        Keeper.kept.append(values)

    values = [1]
    auto.run_sync(keep, values)
    assert Keeper.kept.pop() is values and not Keeper.kept


def test_an_argument_kept_by_a_new_function(auto):
    def closes_over(values):
        return lambda: values

    values = [1]
    assert auto.run_sync(closes_over, values)() is values


def test_arguments_that_share(auto):
    def same(one, other):
        other.append(1)
        return one is other, one

    values = []
    is_same, result = auto.run_sync(same, values, values)
    assert is_same and result is values and values == [1]


def test_parts_of_a_result_that_share(auto):
    def twice():
        inner = [1]
        return [inner, inner]

    one, other = auto.run_sync(twice)
    assert one is other
    assert left(auto, twice)


class Counted:
    n = 0


def test_a_class_changed_through_a_container(auto):
    def bump():
        [Counted][0].n += 1
        return Counted.n

    before = Counted.n
    assert [auto.run_sync(bump) for _ in range(3)] == [before + 1, before + 2, before + 3]
    assert auto.map(lambda _: bump(), range(2), chunk_size=2) == [before + 4, before + 5]
    assert Counted.n == before + 5


def test_a_generator_is_returned(auto):
    def numbers(n):
        return (number * number for number in range(n))

    def yields(n):
        yield from range(n)

    assert list(auto.run_sync(numbers, 4)) == [0, 1, 4, 9]
    assert list(auto.run_sync(yields, 4)) == [0, 1, 2, 3]
    assert auto.run_sync(iter, [1]).__next__() == 1


SEEN = []


def test_a_global_list_that_is_read(auto):
    def sees():
        return len(SEEN)

    SEEN[:] = [1]
    assert auto.run_sync(sees) == 1
    SEEN.append(2)
    assert auto.run_sync(sees) == 2
    assert auto._pool.explain(sees).backend == "threads"


LIMIT = 3


def test_a_global_number_that_changes_between_calls(auto, monkeypatch):
    def limited(number):
        return min(number, LIMIT)

    assert auto.run_sync(limited, 9) == 3
    monkeypatch.setitem(globals(), "LIMIT", 5)
    assert auto.run_sync(limited, 9) == 5
    assert left(auto, limited)


def test_a_patched_function_of_the_standard_library(auto):
    def root(number):
        return math.sqrt(number)

    assert auto.run_sync(root, 4) == 2.0
    with mock.patch("math.sqrt", return_value="patched"):
        assert auto.run_sync(root, 4) == "patched"
    with mock.patch.object(math, "sqrt") as mocked:
        auto.run_sync(root, 4)
        mocked.assert_called_once_with(4)
    assert auto.run_sync(root, 4) == 2.0
    assert left(auto, root)


def test_a_patched_helper(auto):
    def program(number):
        return helper(number)

    assert auto.run_sync(program, 1) == 2
    with mock.patch(f"{__name__}.helper", return_value="patched"):
        assert auto.run_sync(program, 1) == "patched"
    assert auto.run_sync(program, 1) == 2


def test_the_callers_objects_are_reached(auto, capsys):
    found, event, lock, called = [], threading.Event(), threading.Lock(), mock.Mock()

    def reaches(number):
        with lock:
            found.append(number)
        event.set()
        called(number)
        print("number", number)

    auto.map(reaches, range(3), chunk_size=3)
    assert found == [0, 1, 2] and event.is_set() and called.call_count == 3
    assert capsys.readouterr().out == "number 0\nnumber 1\nnumber 2\n"


def test_a_failure_keeps_its_place(auto):
    def fails(number):
        raise KeyError("mine", number)

    with pytest.raises(KeyError) as caught:
        auto.run_sync(fails, 4)
    assert isinstance(caught.value, TaskError)
    cause = caught.value.__cause__
    assert type(cause) is KeyError and cause.args == ("mine", 4)
    names, traceback = [], cause.__traceback__
    while traceback is not None:
        names.append(traceback.tb_frame.f_code.co_name)
        traceback = traceback.tb_next
    assert names[-1] == "fails"
    assert type(auto.submit(fails, 5).exception()) is KeyError
    assert left(auto, fails)


def test_an_infinite_iterable_ends_with_the_first_failure(eager, auto):
    def fails_late(number):
        return 100 // (1000 - number)

    with pytest.raises(ZeroDivisionError):
        auto.map(fails_late, itertools.count())


def test_an_iterable_that_fails(eager, auto):
    def items():
        yield from range(50)
        raise LookupError("of the iterable")

    with pytest.raises(LookupError, match="of the iterable") as caught:
        auto.map(heavy_computation, items(), chunk_size=2)
    assert not isinstance(caught.value, TaskError)


# Tools that watch


@pytest.fixture(params=["settrace", "setprofile", "threading.settrace", "threading.setprofile", "monitoring"])
def watching(request):
    """Turns a tool on, and gives what turns it off."""
    ignore = lambda *_: None
    if request.param == "monitoring":
        if sys.version_info < (3, 12):
            pytest.skip("Python 3.11 has no sys.monitoring")
        sys.monitoring.use_tool_id(4, "test")
        off = lambda: sys.monitoring.free_tool_id(4)
    else:
        module, name = ("sys", request.param) if "." not in request.param else request.param.split(".")
        setter = getattr({"sys": sys, "threading": threading}[module], name)
        before = getattr({"sys": sys, "threading": threading}[module], name.replace("set", "get"))()
        setter(ignore)
        off = lambda: setter(before)
    yield off
    if request.param != "monitoring" or sys.monitoring.get_tool(4) is not None:
        off()


def test_under_a_tool_all_calls_stay(auto, watching):
    result = auto.run_sync(heavy_computation, 1000), auto.submit(heavy_computation, 1000).result()
    opened, route = auto._pool.opened(), auto._pool.explain(heavy_computation)
    watching()
    assert result == (heavy_computation(1000),) * 2
    assert not opened
    assert route.backend == "threads"
    assert auto.run_sync(heavy_computation, 1000) == result[0]
    assert left(auto, heavy_computation)


def test_a_tracer_sees_the_lines_of_tasks(auto):
    seen = set()

    def tracer(frame, event, _):
        seen.add(frame.f_code.co_name)
        return tracer

    before = sys.gettrace(), threading.gettrace()
    with BlockingExecutor(1) as executor:
        sys.settrace(tracer), threading.settrace(tracer)
        try:
            stays = executor._pool.explain(heavy_computation).backend == "threads"
        finally:
            sys.settrace(before[0]), threading.settrace(before[1])
    assert stays


# Life


def test_shutdown_with_the_pool_elsewhere_open(auto):
    futures = [auto.submit(heavy_computation, 50_000) for _ in range(10)]
    auto.shutdown()
    assert [future.result(0) for future in futures] == [heavy_computation(50_000)] * 10
    with pytest.raises(RuntimeError, match="shut down"):
        auto.run_sync(heavy_computation, 1)
    with pytest.raises(RuntimeError, match="shut down"):
        auto.submit(heavy_computation, 1)


def test_shutdown_finishes_what_comes_back(auto):
    def returns_it_late(values):
        sum(range(3_000_000))
        return values

    values = []
    futures = [auto.submit(returns_it_late, values) for _ in range(4)]
    auto.shutdown()
    assert all(future.result(0) is values for future in futures)


def test_a_shutdown_that_cancels(auto):
    futures = [auto.submit(heavy_computation, 300_000) for _ in range(50)]
    auto.shutdown(cancel_futures=True)
    assert all(future.done() for future in futures)
    assert any(future.cancelled() for future in futures)
    assert {future.result() for future in futures if not future.cancelled()} <= {heavy_computation(300_000)}


OPEN = """
import os, sys, threading
from hypern import BlockingExecutor

def heavy(n):
    return sum(i * i for i in range(n))

executor = BlockingExecutor(2)
assert executor.run_sync(heavy, 1000) == heavy(1000)
assert executor._pool.opened()
"""


def test_exit_with_the_pool_elsewhere_open():
    run(OPEN + "futures = [executor.submit(heavy, 100_000) for _ in range(20)]\n").ok("")


def test_exit_finishes_what_was_accepted():
    script = "executor.submit(heavy, 100_000).add_done_callback(lambda future: print(future.result()))\n"
    run(OPEN + script).ok(f"{heavy_computation(100_000)}\n")


def test_exit_beside_a_call_that_comes_back():
    script = """
def appends(values):
    values.append(heavy(100_000))
    print(len(values))
for _ in range(5):
    executor.submit(lambda values: values.append(1), [])
    executor.submit(lambda values: (values.append(heavy(100_000)), values)[1], []).add_done_callback(
        lambda future: print(len(future.result())))
"""
    run(OPEN + script).ok("1\n" * 5)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_fork_with_the_pool_elsewhere_open():
    script = """
process = os.fork()
if not process:
    assert executor.run_sync(heavy, 500) == heavy(500)
    assert executor.map(heavy, range(50), chunk_size=5) == [heavy(n) for n in range(50)]
    executor.shutdown()
    os._exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 7
assert executor.run_sync(heavy, 500) == heavy(500)
assert executor.submit(heavy, 600).result() == heavy(600)
executor.shutdown()
"""
    run(OPEN + script, flags=(*STRICT, "-W", "ignore:This process:DeprecationWarning")).ok("")


def test_the_program_is_not_run_elsewhere():
    """Neither the script nor a module of the program is imported again."""
    script = """
import beside
with BlockingExecutor(2) as executor:
    print(executor.run_sync(beside.program, 3), executor._pool.explain(beside.program).backend != "threads")
"""
    beside = "print('imported')\ndef helper(n): return n + 1\ndef program(n): return helper(n) * 2\n"
    script = "print('started')\nfrom hypern import BlockingExecutor\n" + script
    run(script, files={"beside.py": beside}).ok("started\nimported\n8 True\n")


def test_what_main_defines():
    script = """
import dataclasses, sys
from hypern import BlockingExecutor, TaskError

class Failure(Exception):
    def __init__(self, what, where):
        super().__init__(what)
        self.where = where

class Shape:
    made = 0
    def __init__(self, side): self.side = side
    def area(self): return self.side ** 2

@dataclasses.dataclass
class Point:
    x: int
    y: int = 0

def fails(n):
    raise Failure("mine", n)

def area(side): return Shape(side).area()
def shape(side): return Shape(side)
def point(x): return Point(x)
def makes():
    Shape.made += 1
    return Shape.made

with BlockingExecutor(2) as executor:
    away = lambda function: executor._pool.explain(function).backend != "threads"
    try:
        executor.run_sync(fails, 4)
    except Failure as error:
        cause = error.__cause__
        print(isinstance(error, TaskError), type(cause) is Failure, cause.args, cause.where, away(fails))
    error = executor.submit(fails, 5).exception()
    print(type(error) is Failure, error.args, error.where)
    print(executor.run_sync(area, 3), away(area))
    print(type(executor.run_sync(shape, 3)) is Shape, type(executor.run_sync(point, 3)) is Point)
    print(executor.run_sync(point, 3) == Point(3), [executor.run_sync(makes) for _ in range(2)], Shape.made)
"""
    run(script).ok("True True ('mine',) 4 True\nTrue ('mine',) 5\n9 True\nTrue True\nTrue [1, 2] 2\n")


def test_an_initializer():
    """Its effects are seen, whatever leaves."""
    script = """
import threading
from hypern import BlockingExecutor
local = threading.local()
def start(value): local.value = value
def stays(): return local.value
def heavy(n): return sum(i * i for i in range(n))
with BlockingExecutor(1, initializer=start, initargs=("ready",)) as executor:
    print(executor.run_sync(heavy, 1000) == heavy(1000), executor.run_sync(stays))
    print(executor.map(lambda _: stays(), range(2)), executor.submit(stays).result())
"""
    run(script).ok("True ready\n['ready', 'ready'] ready\n")


def test_a_full_queue_of_work_elsewhere():
    with BlockingExecutor(1, queue_size=2) as executor:
        futures = [executor.submit(heavy_computation, 10_000 + number) for number in range(50)]
        assert [future.result(30) for future in futures] == [heavy_computation(10_000 + n) for n in range(50)]
        assert executor.map(heavy_computation, range(200), chunk_size=1) == [heavy_computation(n) for n in range(200)]


def test_a_full_queue_of_work_that_comes_back():
    def returns_it(values):
        return values

    def fresh(number):
        """Functions that nobody knows yet."""
        return lambda values: (values, number)[0]

    with BlockingExecutor(1, queue_size=1) as executor:
        lists = [[number] for number in range(50)]
        futures = [executor.submit(fresh(number), values) for number, values in enumerate(lists)]
        assert all(future.result(30) is values for future, values in zip(futures, lists))
        futures = [executor.submit(returns_it, values) for values in lists]
        assert all(future.result(30) is values for future, values in zip(futures, lists))


def test_nested_calls_on_the_same_executor():
    with BlockingExecutor(1) as executor:

        def outer(depth):
            if depth == 0:
                return executor.run_sync(heavy_computation, 100)
            return executor.run_sync(outer, depth - 1) + executor.map(heavy_computation, [100])[0]

        def submits():
            return [future.result(20) for future in [executor.submit(heavy_computation, n) for n in range(5)]]

        assert executor.submit(outer, 3).result(30) == 4 * heavy_computation(100)
        assert executor.submit(submits).result(30) == [heavy_computation(n) for n in range(5)]


# Futures


def held(executor):
    """Work that keeps both workers elsewhere, until it is cancelled or done."""
    executor.run_sync(heavy_computation, 10)
    return [executor.submit(heavy_computation, 2_000_000) for _ in range(2)]


def test_cancelling_what_has_not_started(auto):
    before = held(auto)
    futures = [auto.submit(heavy_computation, 1000) for _ in range(20)]
    assert futures[-1].cancel()
    assert futures[-1].cancelled() and futures[-1].done()
    with pytest.raises(concurrent.futures.CancelledError):
        futures[-1].result()
    assert {future.result(30) for future in futures[:-1]} == {heavy_computation(1000)}
    assert concurrent.futures.wait(before, 30).not_done == set()


def test_a_done_future_cannot_be_cancelled(auto):
    future = auto.submit(heavy_computation, 1000)
    future.result(30)
    assert not future.cancel()
    assert future.done() and not future.running() and not future.cancelled()


@pytest.mark.parametrize("function", [heavy_computation, lambda n: ([n], n)[0], tasks.square])
def test_callbacks_are_called_once(auto, function):
    called, done = [], threading.Event()
    future = auto.submit(function, 3)
    future.add_done_callback(lambda future: (called.append(future), done.set()))
    assert done.wait(30)
    assert future.result() == function(3)
    future.add_done_callback(called.append)
    assert called == [future, future]


def test_a_future_of_a_call_that_comes_back(auto):
    values, called, done = [1], [], threading.Event()
    future = auto.submit(lambda values: values, values)
    future.add_done_callback(lambda future: (called.append(future.result() is values), done.set()))
    assert future.result(30) is values
    assert done.wait(30) and called == [True]
    assert future.done() and not future.running() and not future.cancelled()


def test_as_completed_and_wait(auto):
    futures = {auto.submit(heavy_computation, n): n for n in range(20)}
    for future in concurrent.futures.as_completed(futures, 30):
        assert future.result() == heavy_computation(futures[future])
    assert concurrent.futures.wait(futures).not_done == set()
