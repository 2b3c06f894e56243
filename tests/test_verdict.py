"""What the verdict says of callables of many kinds, that it notices changes, and what it costs to ask again."""

from __future__ import annotations

import builtins
import collections
import copy
import decimal
import dis
import functools
import gc
import itertools
import json
import math
import opcode
import operator
import os
import pickle
import random
import re
import string
import subprocess
import sys
import textwrap
import threading
import timeit
import types
import weakref
from unittest import mock

import pytest

import programs_beside
import programs_leaning as leaning
import programs_pure as pure
from hypern import _by_value, _verdict
from hypern._verdict import opcodes, set_order
from hypern._capture import Capture
from hypern._verdict.reach import Reach
from hypern._verdict import judge

# Programs that touch nothing outside

PURE = {name.removeprefix("run_"): value for name, value in vars(pure).items() if name.startswith("run_")}
LEAST_PRECISION = 0.8
#: Programs that could leave and do not.
MISSED = {"n_queens", "game_of_life"} if set_order.SEEDS_DIFFER else set()


@pytest.mark.parametrize("name", PURE)
def test_a_pure_program_runs_and_leaves(name):
    PURE[name]()
    verdict = judge(PURE[name])
    assert verdict.leaves == (name not in MISSED), verdict


ELSEWHERE = """
import pickle, sys
sys.path[:] = pickle.load(sys.stdin.buffer)
for name, program in pickle.load(sys.stdin.buffer).items():
    print(name, repr(program()))
"""


def test_pure_programs_that_leave_give_the_same_elsewhere():
    """In a process with other hashes, which has not imported them."""
    programs = {name: program for name, program in PURE.items() if judge(program).leaves}
    sent = pickle.dumps(sys.path) + _by_value.dumps_whole(programs, programs.values())
    environment = {**os.environ, "PYTHONHASHSEED": "7"} if set_order.SEEDS_DIFFER else dict(os.environ)
    command = [sys.executable, "-c", ELSEWHERE]
    done = subprocess.run(command, input=sent, env=environment, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr.decode()
    here = "".join(f"{name} {program()!r}\n" for name, program in programs.items())
    assert done.stdout.decode().replace("__main__.", "programs_pure.") == here


def test_most_pure_programs_leave(record_property):
    assert len(PURE) >= 60
    stay = {name: judge(program).reason for name, program in PURE.items() if not judge(program).leaves}
    precision = 1 - len(stay) / len(PURE)
    record_property("precision", precision)
    print(f"{precision:.3f} of {len(PURE)} pure programs leave; those that stay: {stay}")
    assert precision >= LEAST_PRECISION


#: Other callables that leave.
LEAVES = [
    len,
    sorted,
    pow,
    max,
    abs,
    int,
    str,
    dict,
    list,
    ValueError,
    math.sqrt,
    operator.add,
    collections.Counter,
    random.Random,
    re.compile,
    json.dumps,
    textwrap.dedent,
    copy.deepcopy,
    string.capwords,
    operator.itemgetter(1),
    operator.attrgetter("x.y"),
    operator.methodcaller("upper"),
    "".join,
    "abc".upper,
    str.upper,
    dict.fromkeys,
    int.from_bytes,
    re.compile("a+").sub,
    lambda: None,
    lambda x: x**2,
    lambda values: [value + 1 for value in values],
    functools.partial(pure.fib, 5),
    functools.partial(functools.partial(pow, 2), 3),
    functools.partial(lambda x, *, y: x + y, y=2),
    functools.partial(sum, [1, 2, 3]),
    pure.Body,
    pure.Point,
    pure.State,
    pure.Money,
    pure.Vector,
    pure.Tokenizer,
    pure.Version.parse,
    pure.Token,
    pure.merkle_root,
    pure.dijkstra,
    pure.area,
    leaning.Counted2,
    leaning.uses_starred_names,
    programs_beside.triple,
]


@pytest.mark.parametrize("function", LEAVES, ids=lambda each: getattr(each, "__qualname__", type(each).__name__))
def test_it_leaves(function):
    verdict = judge(function)
    assert verdict.leaves, verdict
    assert verdict.advice == ""
    assert verdict.name is None


def test_plain_data_in_a_partial_is_left_to_those_who_look_at_arguments():
    assert judge(leaning.partial_of_a_partial_of_a_lambda).leaves


# What stays: the callable, a piece of the reason, the name that decided

STAYS = [
    # globals
    (leaning.writes_a_global, "writes to the global", "counter"),
    (leaning.counts_calls, "writes to the global", "counter"),
    (leaning.deletes_a_global, "deletes the global", "counter"),
    (leaning.writes_a_global_deep_inside, "writes to the global", "counter"),
    (leaning.writes_a_global_in_a_class_body, "writes to the global", "counter"),
    (leaning.writes_a_global_in_a_comprehension, "writes to the global", "counter"),
    (leaning.writes_a_global_by_walrus, "writes to the global", "counter"),
    (leaning.loops_over_a_global, "writes to the global", "counter"),
    (leaning.imports_into_a_global, "writes to the global", "math"),
    (leaning.memoises, "reads the global dict", "cache"),
    (leaning.appends, "reads the global list", "results"),
    (leaning.reads_a_list, "reads the global list", "results"),
    (leaning.adds_to_a_set, "reads the global set", "seen"),
    (leaning.reads_a_namespace, "SimpleNamespace", "settings"),
    (leaning.reads_a_bytearray, "bytearray", "BUFFER"),
    (leaning.reads_an_array, "array", "NUMBERS"),
    (leaning.reads_a_deque, "deque", "QUEUE"),
    (leaning.reads_a_defaultdict, "defaultdict", "TREE"),
    (leaning.reads_an_ordered_dict, "OrderedDict", "SQUARES"),
    (leaning.reads_a_view, "mappingproxy", "VIEW"),
    (leaning.reads_a_tuple_with_a_list, "tuple 'ORDERS', which contains a list", "ORDERS"),
    (leaning.reads_a_set_deep_in_a_tuple, "contains a set", "NESTED"),
    (leaning.takes_a_ticket, "iterator (count)", "TICKETS"),
    (leaning.reads_an_iterator, "iterator", "LINES"),
    (leaning.reads_a_generator, "iterator (generator)", "GENERATOR"),
    (leaning.reads_a_missing_global, "does not exist", "not_defined_anywhere"),
    (leaning.calls_what_writes_a_global, "writes to the global", "counter"),
    (leaning.calls_it_through_a_chain, "writes to the global", "counter"),
    (leaning.calls_it_in_a_lambda, "reads the global dict", "cache"),
    (leaning.aliases_a_list, "reads the global list", "results"),
    (leaning.aliases_by_unpacking, "reads the global list", "results"),
    (leaning.aliases_by_walrus, "reads the global list", "results"),
    (leaning.copies_a_global, "reads the global dict", "cache"),
    (leaning.reads_an_instance, "Settings", "CURRENT"),
    (leaning.reads_a_frozen_instance_with_a_list, "contains a list", "FROZEN"),
    # closures and defaults
    (leaning.counting, "writes to the variable", "count"),
    (leaning.deleting, "deletes the variable", "value"),
    (leaning.appending, "list 'items' of the function around it", "items"),
    (leaning.deep, "dict 'state' of the function around it", "state"),
    (leaning.deeper, "dict 'state' of the function around it", "state"),
    (leaning.nested_writer, "writes to the variable", "total"),
    (leaning.unfilled, "not set yet", "later"),
    (leaning.default_list, "list 'seen' as a default", "seen"),
    (leaning.default_cache, "dict 'memo' as a default", "memo"),
    (leaning.default_tuple_with_a_list, "contains a list", "options"),
    (leaning.default_instance, "lock", "lock"),
    (leaning.default_module, "module 'math' as a default", "module"),
    # classes and functions that are written to
    (leaning.Registry, "attribute 'entries' is a list", "entries"),
    (leaning.Counted, "attribute 'made' of the class 'Counted'", "made"),
    (leaning.CountedByClass, "attribute 'made' of a class", "made"),
    (leaning.CountedByType, "attribute 'made' of a class", "made"),
    (leaning.CountedByCls, "attribute 'made' of a class", "made"),
    (leaning.CountedByCls.make, "attribute 'made' of a class", "made"),
    (leaning.CountedByNew, "attribute 'made' of a class", "made"),
    (leaning.CountedBySetattr, "attribute 'made' of a class", "made"),
    (leaning.CountedByMro, "attribute 'made' of the class", "made"),
    (leaning.aliases_a_class, "attribute 'made' of the class", "made"),
    (leaning.aliases_a_class_in_an_import, "imports", "programs_leaning"),
    (leaning.writes_by_setattr, "attribute 'made' of the class", "made"),
    (leaning.writes_by_delattr, "attribute 'made' of the class", "made"),
    (leaning.deletes_an_attribute, "attribute 'made' of the class", "made"),
    (leaning.writes_in_a_loop, "attribute 'made' of the class", "made"),
    (leaning.writes_by_unpacking, "attribute 'made' of the class", "made"),
    (leaning.writes_by_with, "attribute 'made' of the class", "made"),
    (leaning.writes_in_a_conditional, "attribute 'made' of the class", "made"),
    (leaning.writes_on_a_function, "of the function 'writes_on_a_function'", "calls"),
    (leaning.reads_on_a_function, "attribute 'calls' of the function", "calls"),
    (leaning.carrying, "carries the attribute 'calls'", "calls"),
    (leaning.writes_on_a_member, "attribute 'hits'", "hits"),
    (leaning.replaces_bases, "__bases__", "__bases__"),
    (leaning.replaces_code, "__code__", "__code__"),
    # classes that lean on something
    (leaning.Sideways, "reads the global list", "results"),
    (leaning.uses_a_property, "reads the global list", "results"),
    (leaning.Setting, "reads the global dict", "cache"),
    (leaning.Base, "attribute 'registry' is a dict", "registry"),
    (leaning.makes_a_derived, "attribute 'registry' is a dict", "registry"),
    (leaning.Finalised, "__del__", "__del__"),
    (leaning.WithMeta, "metaclass is 'Meta'", "WithMeta"),
    (leaning.Meta, "makes classes", "Meta"),
    (leaning.Described, "attribute 'value' is a Descriptor", "value"),
    (leaning.Subscripted, "reads the global dict", "cache"),
    (leaning.Cached, "functools.lru_cache", "slow"),
    (leaning.Locked, "lock", "lock"),
    (leaning.Abstract, "'Unrelated' is registered", "Abstract"),
    (leaning.Patched, "reads the global dict", "cache"),
    (leaning.Stateful, "reads the global dict", "cache"),
    (leaning.ListValued, "contains a list", "A"),
    (leaning.uses_a_registry, "attribute 'entries' is a list", "entries"),
    (leaning.makes_a_counted, "attribute 'made' of the class 'Counted'", "made"),
    # live objects
    (leaning.instance, "callable instance", "Callable"),
    (leaning.instance.method, "method of a Callable", "method"),
    ([].append, "method of a list", "append"),
    ({}.get, "method of a dict", "get"),
    (threading.Lock().acquire, "method of a lock", "acquire"),
    (leaning.TICKETS.__next__, "method of a count", "__next__"),
    (functools.partial(leaning.appends, 1), "reads the global list", "results"),
    (
        functools.partial(functools.partial(lambda x: leaning.cache, 1)),
        "reads the dict 'programs_leaning.cache'",
        "cache",
    ),
    (functools.partial(max, key=leaning.memoises), "reads the global dict", "cache"),
    (functools.partial(max, leaning.instance), "Callable", "partial"),
    (functools.partial(max, math), "", "partial"),
    # attributes that lead out
    (leaning.gets_subclasses, "", ""),
    (leaning.reads_class_dict, "__dict__", "__dict__"),
    (leaning.reads_own_dict, "__dict__", "__dict__"),
    (leaning.reads_globals_of_a_function, "__globals__", "__globals__"),
    (leaning.reads_globals_by_getattr, "__globals__", "__globals__"),
    (leaning.reads_globals_by_format, "__globals__", "__globals__"),
    (leaning.reads_globals_by_attrgetter, "__globals__", "__globals__"),
    (leaning.reads_globals_by_a_computed_name, "", ""),
    (leaning.uses_a_getter, "__globals__", "__globals__"),
    (leaning.reads_a_frame, "sys._getframe", "_getframe"),
    (leaning.reads_a_frame_of_a_generator, "gi_frame", "gi_frame"),
    (leaning.reads_a_traceback, "__traceback__", "__traceback__"),
    (leaning.reads_self_of_a_method, "__self__", "__self__"),
    (leaning.reads_builtins, "__builtins__", "__builtins__"),
    (leaning.reads_closure, "", ""),
    (type.__setattr__, "type.__setattr__", "__setattr__"),
    # decorators
    (leaning.decorated_counter, "dict 'calls' of the function around it", "calls"),
    (leaning.decorated_mark, "carries the attribute 'calls'", "calls"),
    (leaning.cached_fib, "functools.lru_cache", "cached_fib"),
    (leaning.calls_cached, "functools.lru_cache", "cached"),
    (leaning.dispatched, "singledispatch", "dispatched"),
    (leaning.calls_dispatched, "singledispatch", "dispatched"),
    (leaning.uses_a_context_manager, "reads the global list", "results"),
    # builtins
    (print, "prints", "print"),
    (hash, "hash", "hash"),
    (getattr, "", "getattr"),
    (leaning.prints, "prints", "print"),
    (leaning.reads_input, "standard input", "input"),
    (leaning.opens, "opens a file", "open"),
    (leaning.evaluates, "not known", "eval"),
    (leaning.executes, "not known", "exec"),
    (leaning.compiles, "not known", "compile"),
    (leaning.looks_into_globals, "namespace", "globals"),
    (leaning.looks_into_locals, "namespace", "locals"),
    (leaning.looks_into_vars, "namespace", "vars"),
    (leaning.imports_by_name, "imports what is not known", "__import__"),
    (leaning.imports_a_user_module, "imports 'programs_beside'", "programs_beside"),
    (leaning.imports_importlib, "importlib.import_module", "import_module"),
    (leaning.takes_an_id, "address", "id"),
    (leaning.hashes, "hash", "hash"),
    (leaning.keeps_getattr, "'getattr'", "getattr"),
    (leaning.maps_getattr, "'getattr'", "getattr"),
    (leaning.replaces_a_builtin, "of the module 'builtins'", "len"),
    # the process, the clock, chance
    (leaning.locks, "uses the lock", "LOCK"),
    (leaning.logs, "logger", "log"),
    (leaning.logs_by_module, "writes to a log", "logging.warning"),
    (leaning.warns, "warnings.warn", "warn"),
    (leaning.writes_to_a_file, "file", "LOG_FILE"),
    (leaning.reads_the_environment, "os.environ", "environ"),
    (leaning.reads_the_directory, "os.getcwd", "getcwd"),
    (leaning.lists_files, "os.listdir", "listdir"),
    (leaning.finds_a_path, "abspath", "abspath"),
    (leaning.globs, "pathlib.Path", "Path"),
    (leaning.makes_temporary, "tempfile", "mkdtemp"),
    (leaning.copies_files, "shutil.copy", "copy"),
    (leaning.runs_a_program, "subprocess.run", "run"),
    (leaning.connects, "socket.socket", "socket"),
    (leaning.starts_a_thread, "threading.Thread", "Thread"),
    (leaning.names_a_thread, "threading.current_thread", "current_thread"),
    (leaning.reads_thread_local, "local", "local"),
    (leaning.reads_a_context_variable, "ContextVar", "variable"),
    (leaning.sleeps, "time.sleep", "sleep"),
    (leaning.times, "time.perf_counter", "perf_counter"),
    (leaning.takes_now, "reads the clock", "now"),
    (leaning.takes_today, "reads the clock", "today"),
    (leaning.takes_now_of_an_instance, "reads the clock", "now"),
    (leaning.takes_a_timestamp, "time zone", "timestamp"),
    (leaning.formats_by_locale, "locale", "strftime"),
    (leaning.formats_by_locale_in_an_f_string, "locale", "strftime"),
    (leaning.formats_a_number_by_locale, "locale", "n"),
    (leaning.formats_by_an_unknown_format, "locale", "strftime"),
    (leaning.shuffles, "the whole program shares", "random.shuffle"),
    (leaning.draws, "the whole program shares", "random.random"),
    (random.random, "method of a Random", "random"),
    (leaning.seeds, "the whole program shares", "random.seed"),
    (leaning.makes_a_random_without_a_seed, "without a seed", "Random"),
    (leaning.makes_a_random_from_none, "without a seed", "Random"),
    (leaning.makes_a_uuid, "uuid.uuid4", "uuid4"),
    (leaning.sets_the_locale, "locale", "setlocale"),
    (leaning.collects, "gc.collect", "collect"),
    (leaning.inspects, "inspect.currentframe", "currentframe"),
    (leaning.formats_a_traceback, "traceback.format_exc", "format_exc"),
    (leaning.calls_c, "ctypes.c_int", "c_int"),
    (leaning.raises_the_recursion_limit, "sys.setrecursionlimit", "setrecursionlimit"),
    (leaning.reads_the_arguments, "sys.argv", "argv"),
    (leaning.writes_to_stdout, "sys.stdout", "stdout"),
    (leaning.sets_the_decimal_context, "decimal context", "getcontext"),
    (leaning.rounds_in_a_local_context, "decimal context", "localcontext"),
    (leaning.registers_a_dialect, "csv.register_dialect", "register_dialect"),
    (leaning.purges, "re.purge", "purge"),
    (leaning.redirects, "redirect_stdout", "redirect_stdout"),
    (leaning.refers_weakly, "weakref.ref", "ref"),
    (leaning.reads_a_weak_reference, "weak reference", "WEAK"),
    (leaning.loads_json_of_a_file, "io.open", "open"),
    # coroutines and generators
    (leaning.coroutine, "coroutine", "coroutine"),
    (leaning.makes_a_coroutine, "coroutine", "coroutine"),
    (leaning.runs_a_loop, "asyncio.run", "run"),
    (leaning.asynchronous_generator, "coroutine", "asynchronous_generator"),
    (leaning.generator_function, "generator function", "generator_function"),
    (pure.squares, "generator function", "squares"),
    # modules
    (leaning.uses_a_module_as_a_value, "module 'math' as a value", "math"),
    (leaning.passes_a_module, "module 'math' as a value", "math"),
    (leaning.dynamic_attribute_of_a_module, "'getattr' on 'math'", "getattr"),
    (leaning.dynamic_attribute_of_a_class, "'getattr' on 'Color'", "getattr"),
    (leaning.picks_a_module, "as a value", ""),
    (leaning.writes_to_a_module, "writes to 'pi' of the module 'math'", "pi"),
    (leaning.writes_to_a_user_module, "of the module 'programs_beside'", "RATE"),
    (leaning.reads_a_table_of_a_user_module, "reads the dict 'programs_beside.TABLE'", "programs_beside.TABLE"),
    (leaning.reads_a_computed_attribute_of_a_module, "computes", "computed"),
    (leaning.counts_in_a_user_module, "writes to the global 'calls'", "calls"),
    (leaning.counts_by_an_imported_name, "writes to the global 'calls'", "calls"),
    (leaning.third_party, "uses pytest", "pytest"),
    # without source, without builtins
    (leaning.writes_without_source, "writes to the global 'g'", "g"),
    (leaning.own_builtins, "builtins of its own", "len"),
    (leaning.shadowed_builtin, "callable instance", "len"),
    # defaults, members, instances that cannot change
    (leaning.writes_to_a_default, "attribute 'made' of the class 'WritesByDefault'", "made"),
    (leaning.writes_to_a_default_function, "attribute 'calls' of the function 'counts'", "calls"),
    (leaning.writes_on_a_member_of_a_class, "attribute 'hits'", "hits"),
    (leaning.writes_by_augmented_attribute, "attribute 'made' of the class", "made"),
    (leaning.writes_by_starred_target, "attribute 'made' of the class", "made"),
    (leaning.writes_by_annotation, "attribute 'made' of the class", "made"),
    (leaning.sets_by_dynamic_name, "'setattr' on 'WritesByDefault'", "setattr"),
    (leaning.changes_a_frozen_instance, "'__setattr__'", "__setattr__"),
    (leaning.changes_a_frozen_instance_through_a_list, "'__setattr__'", "__setattr__"),
    (leaning.registers_a_class, "changes an abstract class", "register"),
    (leaning.registers_by_name, "'register' of the class", "register"),
    (leaning.clears_members, "_member_map_", "_member_map_"),
    (leaning.clears_members_of_an_instance, "_value2member_map_", "_value2member_map_"),
    (leaning.changes_field_defaults, "_field_defaults", "_field_defaults"),
    (leaning.changes_dataclass_fields, "__dataclass_fields__", "__dataclass_fields__"),
    (leaning.changes_an_annotation, "__annotations__", "__annotations__"),
    (leaning.changes_defaults, "__defaults__", "__defaults__"),
    (leaning.decorates_a_class_outside, "total_ordering", "total_ordering"),
    (leaning.wraps_a_function_outside, "functools.update_wrapper", "update_wrapper"),
    (leaning.reads_a_record, "Record 'RECORD'", "RECORD"),
    (leaning.uses_a_list_member, "member 'A' is a Box", "A"),
    (leaning.touches, "Touched 'TOUCHED', which may be given attributes", "TOUCHED"),
    (leaning.reads_a_pretender, "Pretender 'PRETENDER'", "PRETENDER"),
    (leaning.writes_on_a_member_in_a_list, "may be a member of an enumeration", "hits"),
    (leaning.writes_on_a_member_by_its_class, "may be a member of an enumeration", "hits"),
    (leaning.calls_a_method_of_a_class_above_a_member, "may be a member of an enumeration", "marked"),
    (leaning.makes_a_member_anew, "may be a member of an enumeration", "__init__"),
    (leaning.makes_a_member_anew_by_its_class, "may be a member of an enumeration", "__init__"),
    (leaning.writes_on_a_partial_in_a_list, "a partial", "note"),
    # formats and hashes
    (leaning.formats_by_format, "locale", "n"),
    (leaning.formats_by_a_template, "locale", "n"),
    (leaning.formats_a_time_by_a_template, "locale", "strftime"),
    (leaning.formats_a_constant_day, "locale", "strftime"),
    (leaning.maps_hash, "hash", "hash"),
    (leaning.sorts_by_hash, "hash", "hash"),
    (leaning.calls_hash_by_name, "__hash__", "__hash__"),
    # ways out
    (leaning.opens_by_builtins, "__builtins__", "__builtins__"),
    (leaning.reads_the_base, "__base__", "__base__"),
    (leaning.reduces, "__reduce_ex__", "__reduce_ex__"),
    (leaning.unpacks_into_getattr, "'getattr'", "getattr"),
    (leaning.looks_up_by_prefix, "may begin with '__'", "getattr"),
    (leaning.looks_up_by_f_string, "may begin with 'f_'", "getattr"),
    (leaning.reads_names_of_a_constant_tuple, "__globals__", "__globals__"),
    (leaning.reads_names_of_a_nested_constant, "__globals__", "__globals__"),
    (leaning.reads_names_of_a_global_tuple, "__closure__", "__closure__"),
    (leaning.draws_of_a_distribution, "NormalDist", "NormalDist"),
    (leaning.own_globals, "no plain dict", "lambda"),
    (leaning.try_import, "imports 'nowhere_to_be_found'", "nowhere_to_be_found"),
    # methods that are not named where they are called
    (leaning.reads_a_view_of_memory, "memoryview", "VIEW_OF_BUFFER"),
    (leaning.calls_a_partial_of_a_list, "partial 'READER', which contains a list", "READER"),
    (leaning.reads_a_zip, "iterator (zip)", "PAIRS"),
    (leaning.calls_a_decorated, "callable instance (CountCalls)", "decorated_by_an_object"),
    (leaning.asks_for_a_dynamic_attribute, "reads the global dict", "cache"),
    (leaning.adds, "reads the global list", "results"),
    (leaning.iterates, "attribute 'served' of the class", "served"),
    (leaning.manages, "reads the global list", "results"),
    (leaning.makes_a_class_inside, "attribute 'registry' is a dict", "registry"),
    (leaning.makes_a_class_with_a_namer, "reads the global dict", "cache"),
    (leaning.subscripts, "attribute 'last' of a class", "last"),
    (leaning.nested_default, "reads the global list", "results"),
    (leaning.picks_by_a_dict, "reads the global dict", "cache"),
    (leaning.catches_a_class, "attribute 'seen' is a list", "seen"),
    (leaning.generator_lambda, "generator function", "lambda"),
    # makers of iterators
    (iter, "alive", "iter"),
    (map, "alive", "map"),
    (itertools.chain, "alive", "chain"),
    (3, "cannot be called", "int"),
]


@pytest.mark.parametrize(
    ("function", "reason", "name"),
    STAYS,
    ids=[f"{getattr(row[0], '__qualname__', type(row[0]).__name__)}-{row[2]}" for row in STAYS],
)
def test_it_stays(function, reason, name):
    verdict = judge(function)
    assert not verdict.leaves
    assert reason in verdict.reason
    assert name in (verdict.name or "")


def test_the_table_is_large():
    assert len(PURE) + len(LEAVES) + len(STAYS) >= 150


def test_the_place_is_that_of_the_deciding_instruction():
    verdict = judge(leaning.calls_it_through_a_chain)
    assert verdict.file == leaning.__file__
    with open(leaning.__file__) as file:
        assert file.read().splitlines()[verdict.line - 1].strip() == "counter = n"
    assert judge(leaning.counts_in_a_user_module).file == programs_beside.__file__


def test_what_stays_says_where_if_it_is_written_in_python():
    for function, _, _ in STAYS:
        if getattr(function, "__module__", None) == leaning.__name__:
            verdict = judge(function)
            assert verdict.file, (function, verdict)
            assert verdict.line or isinstance(function, type), (function, verdict)


@pytest.mark.parametrize("function", [leaning.memoises, leaning.default_list, leaning.counting, leaning.cached_fib])
def test_there_is_advice_for_what_is_often_met(function):
    assert judge(function).advice


# The order of sets


def iterates_a_set(words):
    return [word for word in set(words)]  # noqa: C416


def lists_a_set(words):
    return list({word.lower() for word in words})


def returns_a_set(words):
    return set(words)


def joins_a_set(a, b):
    return ",".join({a, b})


def pops_of_a_set(words):
    return set(words).pop()


def passes_a_set(words):
    return first_of({*words})


def first_of(words):
    return next(iter(words))


def keeps_a_set(words):
    return {"words": frozenset(words)}


def makes_sets_by_default(words):
    groups = pure.defaultdict(set)
    for word in words:
        groups[len(word)].add(word)
    return {key: list(group) for key, group in groups.items()}


def sorts_a_set_by_a_key(words):
    return sorted(set(words), key=len)


def iterates_a_constant():
    return [word for word in {"a", "b", "c"}]  # noqa: C416


def iterates_a_union(words):
    return [word for word in set(words) | {"x"}]  # noqa: C416


def iterates_common_keys(one, other):
    return [key for key in one.keys() & other.keys()]  # noqa: C416


class OwnSet(set):
    pass


def iterates_its_own_set(words):
    return list(OwnSet(words))


def unpacks_a_set(words):
    first, *rest = set(words)
    return first


def compares_with_a_set(words):
    seen = set()
    for word in words:
        if word in seen:
            return True
        seen.add(word)
    return len(seen) > 3 or not seen or seen == {"a"} or seen <= {"b", "c"}


def sorts_a_set(words):
    known = {word.lower() for word in words}
    known |= {"x"}
    known.update(words)
    return sorted(known), sorted(known - {"y"}), max(known), sorted(known.union(words, {"z"}))


def looks_up_a_constant(word):
    return word in {"a", "b", "c"} or isinstance(word, set)


def has_an_inner_set(words):
    seen = set()

    def new(word):
        return word not in seen and not seen.add(word)

    return [word for word in words if new(word)]


@pytest.fixture
def other_seeds(monkeypatch):
    monkeypatch.setattr(set_order, "SEEDS_DIFFER", True)


ORDERED = [
    iterates_a_set,
    lists_a_set,
    returns_a_set,
    joins_a_set,
    pops_of_a_set,
    passes_a_set,
    keeps_a_set,
    makes_sets_by_default,
    sorts_a_set_by_a_key,
    iterates_a_constant,
    iterates_a_union,
    iterates_common_keys,
    iterates_its_own_set,
    unpacks_a_set,
    set,
]


@pytest.mark.parametrize("function", ORDERED)
def test_the_order_of_a_set_keeps_it_where_other_processes_have_other_hashes(function, other_seeds):
    verdict = _verdict._judge_anew(function)
    _verdict._judged.clear()
    assert not verdict.leaves
    assert "order of a set" in verdict.reason


@pytest.mark.parametrize("function", [compares_with_a_set, sorts_a_set, looks_up_a_constant, has_an_inner_set])
def test_a_set_whose_order_makes_no_difference_leaves(function, other_seeds):
    verdict = _verdict._judge_anew(function)
    _verdict._judged.clear()
    assert verdict.leaves, verdict


def test_a_constant_set_that_is_in_another_order_in_its_copy_is_followed():
    crowded = next(
        each
        for each in (frozenset((b, a)) for a in range(8) for b in range(8, 64, 8))
        if list(each) != list(frozenset(list(each))) or not set_order.keeps_order(each)
    )
    namespace = {"__name__": "__main__", "crowded": crowded}
    exec("def go(): return list(crowded)\ndef has(n): return n in crowded", namespace)
    assert "order of a set" in judge(namespace["go"]).reason
    assert judge(namespace["has"]).leaves


# What the verdict says is asked of what is there now


def test_a_global_that_is_rebound_is_noticed():
    namespace = {"__name__": "__main__", "FACTOR": 2}
    exec("def scaled(number): return number * FACTOR", namespace)
    scaled = namespace["scaled"]
    assert judge(scaled) is judge(scaled)
    assert judge(scaled).leaves
    namespace["FACTOR"] = [2]
    assert not judge(scaled).leaves
    namespace["FACTOR"] = 3
    assert judge(scaled).leaves
    del namespace["FACTOR"]
    assert "does not exist" in judge(scaled).reason


def test_a_global_that_hides_a_builtin_is_noticed():
    namespace = {"__name__": "__main__"}
    exec("def size(value): return len(value)", namespace)
    assert judge(namespace["size"]).leaves
    namespace["len"] = [].append
    assert not judge(namespace["size"]).leaves


def test_a_builtin_that_is_replaced_is_noticed(monkeypatch):
    def parts(value):
        return divmod(value, 2)

    assert judge(parts).leaves
    monkeypatch.setattr(builtins, "divmod", lambda *_: 3)
    assert not judge(parts).leaves
    monkeypatch.undo()
    assert judge(parts).leaves


def test_a_default_that_is_replaced_is_noticed():
    def scaled(number, factor=2, *, offset=0):
        return number * factor + offset

    assert judge(scaled).leaves
    scaled.__defaults__ = ([],)
    assert not judge(scaled).leaves
    scaled.__defaults__ = (3,)
    assert judge(scaled).leaves
    scaled.__kwdefaults__ = {"offset": {}}
    assert not judge(scaled).leaves


def test_a_default_by_name_that_is_replaced_inside_is_noticed():
    def scaled(number, *, offset=0):
        return number + offset

    def calls():
        return scaled(1)

    assert judge(calls).leaves
    scaled.__kwdefaults__["offset"] = []
    assert not judge(calls).leaves


def test_a_cell_that_is_filled_anew_is_noticed():
    factor = 2

    def scaled(number):
        return number * factor

    assert judge(scaled).leaves
    factor = [2]
    assert not judge(scaled).leaves
    factor = 5
    assert judge(scaled).leaves


def test_a_cell_that_is_emptied_is_noticed():
    def make():
        factor = 2

        def scaled(number):
            return number * factor

        def forget():
            nonlocal factor
            del factor

        return scaled, forget

    scaled, forget = make()
    assert judge(scaled).leaves
    forget()
    assert "not set yet" in judge(scaled).reason


def test_a_function_behind_it_that_is_replaced_is_noticed():
    namespace = {"__name__": "__main__"}
    exec("def inner(): return 1\ndef middle(): return inner()\ndef outer(): return middle()", namespace)
    assert judge(namespace["outer"]).leaves
    exec("def inner():\n    global x\n    x = 1", namespace)
    assert judge(namespace["outer"]).name == "x"


def test_code_that_is_replaced_is_noticed():
    def inner():
        return 1

    def outer():
        return inner()

    assert judge(inner).leaves
    assert judge(outer).leaves
    inner.__code__ = leaning.writes_a_global.__code__.replace(co_varnames=("n",))
    assert not judge(inner).leaves
    assert not judge(outer).leaves


def test_an_attribute_of_a_function_is_noticed():
    def inner():
        return 1

    def outer():
        return inner()

    assert judge(outer).leaves
    inner.calls = 0
    assert not judge(inner).leaves
    assert not judge(outer).leaves


def test_a_method_that_is_replaced_is_noticed():
    class Greeter:
        def greet(self):
            return "hi"

    def greets():
        return Greeter().greet()

    assert judge(greets).leaves
    Greeter.greet = lambda self: leaning.results.append(1)
    assert not judge(greets).leaves


def test_a_method_of_a_base_that_is_replaced_is_noticed():
    class Base:
        def greet(self):
            return "hi"

    class Greeter(Base):
        pass

    def greets():
        return Greeter().greet()

    assert judge(greets).leaves
    Base.greet = mock.Mock()
    assert not judge(greets).leaves


def test_an_attribute_that_a_class_is_given_is_noticed():
    class Greeter:
        name = "x"

    assert judge(Greeter).leaves
    Greeter.seen = []
    assert not judge(Greeter).leaves
    del Greeter.seen
    assert judge(Greeter).leaves
    Greeter.name = [1]
    assert not judge(Greeter).leaves


def test_other_bases_are_noticed():
    class Good:
        pass

    class Bad:
        seen = []

    class Child(Good):
        pass

    assert judge(Child).leaves
    Child.__bases__ = (Bad,)
    assert not judge(Child).leaves


def test_an_attribute_of_a_member_is_noticed():
    assert judge(pure.next_state).leaves
    pure.State.IDLE.hits = []
    try:
        assert not judge(pure.next_state).leaves
    finally:
        del pure.State.IDLE.hits
    assert judge(pure.next_state).leaves


def root(number):
    return math.sqrt(number)


def test_a_patched_module_is_noticed():
    assert judge(root).leaves
    for patch in (mock.MagicMock(), lambda number: number, math.cos, 3):
        with mock.patch("math.sqrt", patch):
            verdict = judge(root)
            assert not verdict.leaves
            assert verdict.name == "math.sqrt"
    assert judge(root).leaves


def test_a_module_that_was_patched_before_is_noticed():
    with mock.patch("math.sqrt", lambda number: number):

        def new(number):
            return math.sqrt(number)

        assert not judge(new).leaves
    with mock.patch("math.pi", 3):

        def newer():
            return math.pi

        assert not judge(newer).leaves


def test_a_patched_part_of_a_module_is_noticed():
    with mock.patch("json.dumps"):

        def new(value):
            return json.dumps(value)

        assert not judge(new).leaves
    with mock.patch("statistics._sum"):

        def newer(value):
            import statistics

            return statistics.mean(value)

        assert "_sum" in judge(newer).name


def test_a_patched_method_of_the_standard_library_is_noticed():
    def common(words):
        return collections.Counter(words).most_common(1)

    assert judge(common).leaves
    with mock.patch.object(collections.Counter, "most_common"):
        assert not judge(common).leaves
    assert judge(common).leaves


def test_a_patched_user_module_is_noticed():
    def triples(number):
        return programs_beside.triple(number)

    assert judge(triples).leaves
    with mock.patch.object(programs_beside, "triple"):
        assert not judge(triples).leaves
    with mock.patch.object(programs_beside, "RATE", [1]):
        assert not judge(triples).leaves
    assert judge(triples).leaves


def test_a_class_that_is_registered_later_is_noticed():
    class Other:
        pass

    def areas(shapes):
        return [isinstance(shape, pure.Shape) for shape in shapes]

    assert judge(areas).leaves
    pure.Shape.register(Other)
    try:
        assert "registered" in judge(areas).reason
    finally:
        del Other
        gc.collect()


def divides(a, b):
    return decimal.Decimal(a) / b


def test_the_decimal_context_of_the_caller_counts():
    assert judge(divides).leaves
    with decimal.localcontext() as context:
        context.prec = 5
        verdict = judge(divides)
        assert not verdict.leaves
        assert "decimal context" in verdict.reason
    assert judge(divides).leaves


def test_a_partial_whose_keywords_change_is_noticed():
    bound = functools.partial(pow, exp=2)
    assert judge(bound).leaves
    bound.keywords["exp"] = leaning.instance
    assert not judge(bound).leaves


def test_a_default_by_name_of_the_callable_itself_is_noticed():
    def scaled(number, *, offset=0):
        return number + offset

    assert judge(scaled).leaves
    scaled.__kwdefaults__["offset"] = []
    assert not judge(scaled).leaves


# What is remembered


def adder(amount, step=1):
    def added(number, factor=step):
        return number * factor + amount

    return added


def test_functions_of_the_same_code_are_judged_by_what_they_captured(monkeypatch):
    assert judge(adder(1)).leaves
    anew = []
    monkeypatch.setattr(_verdict, "Reach", lambda *given: anew.append(given) or Reach(*given))
    assert all(judge(adder(amount, amount)).leaves for amount in range(2, 20))
    assert not anew
    assert not judge(adder([1])).leaves
    assert not judge(adder(1, [1])).leaves
    assert judge(adder("x")).leaves
    assert not judge(adder("{0.__globals__}")).leaves
    assert not judge(adder(leaning.instance)).leaves


def test_functions_of_the_same_code_notice_what_changed_behind_them(monkeypatch):
    namespace = {"__name__": "__main__", "rate": 2}
    exec("def make(n):\n    return lambda: n * rate", namespace)
    assert judge(namespace["make"](1)).leaves
    assert judge(namespace["make"](2)).leaves
    namespace["rate"] = [2]
    assert not judge(namespace["make"](3)).leaves


def test_a_method_of_a_class_is_judged_once(monkeypatch):
    assert judge(pure.Version.parse).leaves
    monkeypatch.setattr(_verdict, "Reach", None)
    assert judge(pure.Version.parse).leaves


def test_a_new_partial_is_judged_by_what_it_calls(monkeypatch):
    judge(pure.fib)
    monkeypatch.setattr(_verdict, "Reach", None)
    assert judge(functools.partial(pure.fib, 12)).leaves
    assert judge(functools.partial(functools.partial(pure.fib), 12)).leaves


def test_a_callable_that_goes_is_forgotten():
    def once():
        return 1

    judge(once)
    key, reference = id(once), weakref.ref(once)
    assert key in _verdict._judged
    del once
    gc.collect()
    assert reference() is None
    assert key not in _verdict._judged


def test_what_a_function_captured_goes_with_it():
    def once(large):
        def size():
            return len(large)

        judge(size)
        return weakref.ref(size)

    reference = once(bytes(10_000))
    gc.collect()
    assert reference() is None
    assert not any(value == bytes(10_000) for model in _verdict._models.values() for _, value in model.cells)


def test_callables_that_come_and_go_are_let_go_of():
    def make():
        def countdown(number):
            return 0 if number == 0 else countdown(number - 1)

        return countdown

    for _ in range(_verdict.MOST_JUDGED + 50):
        assert judge(make()).leaves
    assert len(_verdict._judged) <= _verdict.MOST_JUDGED


def test_many_threads_ask_at_once():
    programs = list(PURE.values())
    expected = [judge(program) for program in programs]
    found = []

    def ask():
        _verdict._judged.clear()
        found.append([(verdict.leaves, verdict.reason) for verdict in map(judge, programs)])

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [[(verdict.leaves, verdict.reason) for verdict in expected]] * 8


def best(statement, number=2000):
    return min(timeit.repeat(statement, number=number, repeat=5)) / number


def test_asking_again_is_cheap():
    """Against looking at the same captures one by one, which a call that is shipped pays, too."""
    capture = Capture(pure.dijkstra)
    judge(pure.dijkstra)
    assert best(lambda: judge(pure.dijkstra)) < 3 * best(capture.holds)
    program = pure.run_dataclass_simulation
    judge(program)
    assert best(lambda: judge(program)) < best(lambda: _verdict._judge_anew(program), 20) / 10


# The bytecode


SPECIAL = set(getattr(dis, "_specialized_instructions", ())) | set(getattr(opcode, "_specialized_opmap", ()))
#: Of coroutines, of modules, and of the interpreter's own.
NOT_UNDERSTOOD = """
    GET_AITER GET_ANEXT BEFORE_ASYNC_WITH END_ASYNC_FOR PRINT_EXPR IMPORT_STAR ASYNC_GEN_WRAP GET_AWAITABLE
    INTERPRETER_EXIT RESERVED EXIT_INIT_CHECK ENTER_EXECUTOR TRACE_RECORD
""".split()


def test_every_instruction_of_this_python_is_known_or_listed():
    from hypern._verdict import flow

    for name, code in dis.opmap.items():
        if code < 256 and name not in SPECIAL and not name.startswith("INSTRUMENTED"):
            known = name in flow._Flow.steps or opcodes.pops(name, 0) is not None
            assert known == (name not in NOT_UNDERSTOOD), name


def code_objects(code):
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield constant
            yield from code_objects(constant)


class Nowhere:
    """A world without anything known."""

    def __getattr__(self, name):
        return lambda *arguments: None


@pytest.mark.parametrize("module", ["argparse", "ast", "dataclasses", "inspect", "statistics", "textwrap", "typing"])
def test_the_walk_keeps_step_with_the_stack(module):
    from hypern._verdict import flow

    path = __import__(module).__file__
    with open(path) as file:
        whole = compile(file.read(), path, "exec")
    walked = 0
    for code in code_objects(whole):
        listed = [step for step in dis.get_instructions(code) if step.opname != "EXTENDED_ARG"]
        mine = opcodes.instructions(code).values()
        assert [step.name for step in mine] == [step.opname for step in listed]
        try:
            flow.follow(code, Nowhere())
            walked += 1
        except flow.Stays as stays:
            assert "understood" not in stays.reason, stays
    assert walked


def test_bytecode_that_no_compiler_makes_stays():
    def plain(a):
        return a + 1

    raw = bytearray(plain.__code__.co_code)
    index = raw.index(dis.opmap["RETURN_VALUE"])
    raw[index] = dis.opmap["POP_TOP"]
    plain.__code__ = plain.__code__.replace(co_code=bytes(raw))
    verdict = judge(plain)
    assert not verdict.leaves
    assert "understood" in verdict.reason
