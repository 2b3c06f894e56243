"""CPU-bound programs of everyday kind that touch nothing outside themselves; each `run_` function is one program."""

from __future__ import annotations

import abc
import base64
import bisect
import collections
import copy
import csv
import datetime as dt
import difflib
import enum
import functools
import hashlib
import heapq
import io
import itertools
import json
import math
import operator
import os.path
import random
import re
import statistics
import string
import struct
import textwrap
import uuid
import zlib
from collections import Counter, OrderedDict, defaultdict, deque, namedtuple
from dataclasses import asdict, dataclass, field, replace
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from operator import itemgetter
from typing import Any, NamedTuple, Protocol, TypeVar

T = TypeVar("T")

# Numbers


def is_prime(number):
    if number < 2:
        return False
    return all(number % divisor for divisor in range(2, math.isqrt(number) + 1))


def run_primes():
    return [number for number in range(200) if is_prime(number)]


def run_sieve(limit=200):
    flags = [True] * (limit + 1)
    flags[0] = flags[1] = False
    for number in range(2, int(limit**0.5) + 1):
        if flags[number]:
            flags[number * number :: number] = [False] * len(flags[number * number :: number])
    return [number for number, flag in enumerate(flags) if flag]


def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)


def run_fib():
    return fib(12)


def is_even(n):
    return n == 0 or is_odd(n - 1)


def is_odd(n):
    return n != 0 and is_even(n - 1)


def run_mutual_recursion():
    return is_even(50), is_odd(51)


def run_mandelbrot(width=16, height=8, depth=30):
    rows = []
    for row in range(height):
        line = ""
        for column in range(width):
            z, c = 0j, complex(3 * column / width - 2, 2 * row / height - 1)
            for step in range(depth):
                if abs(z) > 2:
                    break
                z = z * z + c
            else:
                step = depth
            line += string.ascii_lowercase[step % 26]
        rows.append(line)
    return "\n".join(rows)


def matmul(a, b):
    columns = list(zip(*b))
    return [[sum(x * y for x, y in zip(row, column)) for column in columns] for row in a]


def run_matrix_power():
    result = base = [[1, 1], [1, 0]]
    for _ in range(10):
        result = matmul(result, base)
    return result


def determinant(matrix):
    if len(matrix) == 1:
        return matrix[0][0]
    total = 0
    for column, value in enumerate(matrix[0]):
        minor = [row[:column] + row[column + 1 :] for row in matrix[1:]]
        total += (-1) ** column * value * determinant(minor)
    return total


def run_determinant():
    return determinant([[2, 0, 1], [1, 3, 2], [1, 1, 4]])


def run_collatz():
    longest = (0, 0)
    for start in range(1, 100):
        steps, n = 0, start
        while n != 1:
            n = 3 * n + 1 if n % 2 else n // 2
            steps += 1
        longest = max(longest, (steps, start))
    return longest


MULTIPLIER, INCREMENT, MODULUS = 1664525, 1013904223, 2**32


def lcg(seed, count):
    for _ in range(count):
        seed = (MULTIPLIER * seed + INCREMENT) % MODULUS
        yield seed / MODULUS


def run_monte_carlo_pi():
    numbers = lcg(42, 400)
    return 4 * sum(x * x + y * y <= 1 for x, y in zip(numbers, numbers)) / 200


def run_seeded_random(seed=7):
    generator = random.Random(seed)
    return [generator.gauss(0, 1) for _ in range(10)], generator.sample(range(100), 5)


def run_fractions():
    return sum((Fraction(1, n) for n in range(1, 20)), Fraction(0))


VAT = Decimal("0.19")


def run_decimals():
    net = [Decimal("19.99"), Decimal("5.01")]
    return sum(((each * (1 + VAT)).quantize(Decimal("0.01"), rounding=ROUND_HALF_UP) for each in net), Decimal(0))


def run_statistics():
    data = [1.5, 2.5, 2.5, 2.75, 3.25, 4.75]
    return statistics.mean(data), statistics.median(data), statistics.stdev(data), statistics.mode(data)


def simpson(f, a, b, n=10):
    h = (b - a) / n
    return h / 3 * sum((1 if i in (0, n) else 4 if i % 2 else 2) * f(a + i * h) for i in range(n + 1))


def run_integrate():
    return simpson(math.sin, 0, math.pi), simpson(lambda x: x**2, 0, 3)


def run_newton(value=2.0):
    guess = value
    while abs(guess * guess - value) > 1e-12:
        guess = (guess + value / guess) / 2
    return guess


def run_gcd_chain():
    return functools.reduce(math.gcd, [120, 84, 36]), functools.reduce(operator.mul, range(1, 10), 1)


# Search and dynamic programming


def run_n_queens(size=5):
    def place(row, columns, up, down):
        if row == size:
            return 1
        count = 0
        for column in range(size):
            if column not in columns and row + column not in up and row - column not in down:
                count += place(row + 1, columns | {column}, up | {row + column}, down | {row - column})
        return count

    return place(0, frozenset(), frozenset(), frozenset())


def run_n_queens_by_nonlocal(size=5):
    solutions = 0
    board = []

    def solve(row):
        nonlocal solutions
        if row == size:
            solutions += 1
            return
        for column in range(size):
            if all(column != c and abs(column - c) != row - r for r, c in enumerate(board)):
                board.append(column)
                solve(row + 1)
                board.pop()

    solve(0)
    return solutions


GRID = (
    "530070000",
    "600195000",
    "098000060",
    "800060003",
    "400803001",
    "700020006",
    "060000280",
    "000419005",
    "000080079",
)


def candidates(grid, row, column):
    used = set(grid[row]) | {grid[r][column] for r in range(9)}
    top, left = row // 3 * 3, column // 3 * 3
    used |= {grid[r][c] for r in range(top, top + 3) for c in range(left, left + 3)}
    return [digit for digit in range(1, 10) if digit not in used]


def solve_sudoku(grid):
    for row in range(9):
        for column in range(9):
            if grid[row][column] == 0:
                for digit in candidates(grid, row, column):
                    grid[row][column] = digit
                    if solve_sudoku(grid):
                        return True
                    grid[row][column] = 0
                return False
    return True


def run_sudoku():
    grid = [[int(digit) for digit in line] for line in GRID]
    solve_sudoku(grid)
    return grid


def run_levenshtein(a="kitten", b="sitting"):
    previous = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        current = [i]
        for j, y in enumerate(b, 1):
            current.append(min(previous[j] + 1, current[j - 1] + 1, previous[j - 1] + (x != y)))
        previous = current
    return previous[-1]


def run_knapsack():
    weights, values, capacity = [1, 3, 4, 5], [1, 4, 5, 7], 7
    best = [0] * (capacity + 1)
    for weight, value in zip(weights, values):
        for room in range(capacity, weight - 1, -1):
            best[room] = max(best[room], best[room - weight] + value)
    return best[capacity]


def run_memo_dict(n=40):
    memo = {}

    def ways(k):
        if k < 2:
            return 1
        if k not in memo:
            memo[k] = ways(k - 1) + ways(k - 2)
        return memo[k]

    return ways(n)


def run_lru_cache_inside(n=40):
    @functools.lru_cache(maxsize=None)
    def ways(k):
        return 1 if k < 2 else ways(k - 1) + ways(k - 2)

    return ways(n)


def run_lcs(a="AGGTAB", b="GXTXAYB"):
    @functools.cache
    def length(i, j):
        if i == len(a) or j == len(b):
            return 0
        if a[i] == b[j]:
            return 1 + length(i + 1, j + 1)
        return max(length(i + 1, j), length(i, j + 1))

    return length(0, 0)


def run_permutations():
    return sum(1 for each in itertools.permutations(range(5)) if each[0] < each[-1])


def run_coins(total=50, coins=(1, 5, 10, 25)):
    ways = [1] + [0] * total
    for coin in coins:
        for amount in range(coin, total + 1):
            ways[amount] += ways[amount - coin]
    return ways[total]


def run_bisect():
    numbers = sorted(lcg(1, 50))
    positions = [bisect.bisect_left(numbers, x / 10) for x in range(10)]
    bisect.insort(numbers, 0.5)
    return positions


# Graphs, grids and simulations


def dijkstra(graph, start):
    distances = {start: 0}
    queue = [(0, start)]
    while queue:
        distance, node = heapq.heappop(queue)
        if distance > distances.get(node, math.inf):
            continue
        for neighbour, weight in graph[node].items():
            new = distance + weight
            if new < distances.get(neighbour, math.inf):
                distances[neighbour] = new
                heapq.heappush(queue, (new, neighbour))
    return distances


def run_dijkstra():
    return dijkstra({"a": {"b": 7, "c": 3}, "b": {"d": 2}, "c": {"b": 1, "d": 8}, "d": {}}, "a")


def run_breadth_first():
    edges = [(1, 2), (1, 3), (2, 4), (3, 4), (4, 5)]
    graph = defaultdict(list)
    for a, b in edges:
        graph[a].append(b)
        graph[b].append(a)
    seen, order, queue = {1}, [], deque([1])
    while queue:
        node = queue.popleft()
        order.append(node)
        for each in graph[node]:
            if each not in seen:
                seen.add(each)
                queue.append(each)
    return order


def topological(graph):
    order, marks = [], {}

    def visit(node):
        if marks.get(node) == "done":
            return
        if marks.get(node) == "open":
            raise ValueError(f"a cycle at {node}")
        marks[node] = "open"
        for each in graph.get(node, ()):
            visit(each)
        marks[node] = "done"
        order.append(node)

    for node in sorted(graph):
        visit(node)
    return order[::-1]


def run_topological_sort():
    try:
        topological({"a": ["b"], "b": ["a"]})
    except ValueError as error:
        problem = str(error)
    return topological({"shirt": ["tie"], "tie": ["jacket"], "trousers": ["shoes", "jacket"]}), problem


def run_game_of_life(generations=4):
    alive = {(1, 0), (2, 1), (0, 2), (1, 2), (2, 2)}
    for _ in range(generations):
        counts = Counter(
            (x + dx, y + dy) for x, y in alive for dx in (-1, 0, 1) for dy in (-1, 0, 1) if (dx, dy) != (0, 0)
        )
        alive = {cell for cell, count in counts.items() if count == 3 or (count == 2 and cell in alive)}
    return sorted(alive)


def run_flood_fill():
    grid = [list(row) for row in ("..#..", ".##..", "....#")]
    stack, filled = [(0, 0)], 0
    while stack:
        y, x = stack.pop()
        if 0 <= y < 3 and 0 <= x < 5 and grid[y][x] == ".":
            grid[y][x] = "o"
            filled += 1
            stack += [(y + 1, x), (y - 1, x), (y, x + 1), (y, x - 1)]
    return filled


class UnionFind:
    def __init__(self, size):
        self.parent = list(range(size))
        self.count = size

    def find(self, item):
        while self.parent[item] != item:
            self.parent[item] = self.parent[self.parent[item]]
            item = self.parent[item]
        return item

    def union(self, one, other):
        one, other = self.find(one), self.find(other)
        if one != other:
            self.parent[one] = other
            self.count -= 1


def run_kruskal():
    edges = [(4, 0, 1), (1, 1, 2), (3, 0, 2), (7, 2, 3)]
    groups, weight = UnionFind(4), 0
    for cost, a, b in sorted(edges):
        if groups.find(a) != groups.find(b):
            groups.union(a, b)
            weight += cost
    return weight, groups.count


@dataclass
class Body:
    name: str
    position: tuple[float, float]
    velocity: tuple[float, float] = (0.0, 0.0)
    mass: float = 1.0
    trail: list[tuple[float, float]] = field(default_factory=list)

    @property
    def speed(self):
        return math.hypot(*self.velocity)

    def step(self, force, dt):
        ax, ay = force[0] / self.mass, force[1] / self.mass
        self.velocity = self.velocity[0] + ax * dt, self.velocity[1] + ay * dt
        self.position = self.position[0] + self.velocity[0] * dt, self.position[1] + self.velocity[1] * dt
        self.trail.append(self.position)


def run_dataclass_simulation():
    bodies = [Body("a", (0.0, 0.0), mass=2.0), Body("b", (1.0, 0.0), (0.0, 1.0))]
    for _ in range(20):
        for body in bodies:
            body.step((-body.position[0], -body.position[1]), 0.1)
    return [(asdict(body)["name"], round(body.speed, 6), len(body.trail)) for body in bodies]


@dataclass(frozen=True, order=True)
class Version:
    major: int
    minor: int = 0

    @classmethod
    def parse(cls, text):
        return cls(*map(int, text.split(".")))

    def next(self):
        return replace(self, minor=self.minor + 1)


OLDEST = Version(1, 0)


def run_versions():
    versions = [Version.parse(each) for each in ("2.1", "1.5", "2.0")]
    return max(versions).next(), sorted(versions)[0] > OLDEST, {Version(1, 2): "x"}[Version(1, 2)]


class State(enum.Enum):
    IDLE = "idle"
    RUNNING = "running"
    DONE = "done"

    @property
    def final(self):
        return self is State.DONE


def next_state(state):
    match state:
        case State.IDLE:
            return State.RUNNING
        case State.RUNNING:
            return State.DONE
    return state


def run_state_machine():
    state, path = State.IDLE, []
    while not state.final:
        path.append(state.name)
        state = next_state(state)
    return path, State("done") is state, len(State)


# Text


WORD = re.compile(r"[a-z']+")
STOP = frozenset(["the", "a", "of"])


def run_word_count(text="The cat saw the dog; the dog saw a mouse of the house."):
    words = (word for word in WORD.findall(text.lower()) if word not in STOP)
    return Counter(words).most_common(3)


def run_regex_clean_up():
    lines = ["  Hello,   World! ", "foo@example.com  wrote: hi"]
    cleaned = [re.sub(r"\s+", " ", line).strip() for line in lines]
    return [re.sub(r"\S+@\S+", lambda match: "<" + match.group(0)[0] + ">", line) for line in cleaned]


class Token(NamedTuple):
    kind: str
    text: str
    position: int = 0

    def is_number(self):
        return self.kind == "number"


class Tokenizer:
    """Cuts arithmetic into tokens."""

    PATTERN = re.compile(r"\s*(?:(?P<number>\d+(?:\.\d*)?)|(?P<operator>[-+*/()]))")
    KINDS = ("number", "operator")

    def __init__(self, source):
        self.source = source
        self.position = 0

    def __iter__(self):
        while self.position < len(self.source):
            match = self.PATTERN.match(self.source, self.position)
            if match is None:
                raise SyntaxError(f"at {self.position}")
            self.position = match.end()
            yield Token(match.lastgroup, match.group(match.lastgroup), match.start())


class Parser:
    def __init__(self, tokens):
        self.tokens = list(tokens)
        self.index = 0

    def peek(self):
        return self.tokens[self.index].text if self.index < len(self.tokens) else None

    def take(self):
        self.index += 1
        return self.tokens[self.index - 1]

    def sum(self):
        value = self.product()
        while self.peek() in ("+", "-"):
            value = value + self.product() if self.take().text == "+" else value - self.product()
        return value

    def product(self):
        value = self.atom()
        while (operation := self.peek()) in ("*", "/"):
            self.take()
            value = value * self.atom() if operation == "*" else value / self.atom()
        return value

    def atom(self):
        token = self.take()
        if token.is_number():
            return float(token.text)
        value = self.sum()
        self.take()
        return value


def run_calculator(source="2 * (3 + 4) - 10 / 4"):
    return Parser(Tokenizer(source)).sum()


class Node:
    __slots__ = ("left", "right", "value")

    def __init__(self, value, left=None, right=None):
        self.value, self.left, self.right = value, left, right


class Visitor:
    def visit(self, node):
        method = getattr(self, "visit_" + type(node).__name__.lower(), self.generic_visit)
        return method(node)

    def generic_visit(self, node):
        raise TypeError(node)


class Evaluator(Visitor):
    OPERATIONS = (("+", operator.add), ("*", operator.mul))

    def visit_int(self, node):
        return node

    def visit_tuple(self, node):
        symbol, left, right = node
        return dict(self.OPERATIONS)[symbol](self.visit(left), self.visit(right))


def run_visitor():
    return Evaluator().visit(("+", 1, ("*", 2, 3)))


class Machine:
    """A little interpreter with a stack."""

    def __init__(self):
        self.stack = []
        self.variables = {}

    def run(self, program):
        for line in program.strip().splitlines():
            name, *operands = line.split()
            getattr(self, f"do_{name}")(*operands)
        return self.variables

    def do_push(self, number):
        self.stack.append(int(number))

    def do_add(self):
        self.stack.append(self.stack.pop() + self.stack.pop())

    def do_store(self, name):
        self.variables[name] = self.stack.pop()


def run_interpreter():
    return Machine().run("push 2\npush 3\nadd\nstore x")


def run_caesar(text="Hello, World", shift=3):
    lower, upper = string.ascii_lowercase, string.ascii_uppercase
    table = str.maketrans(lower + upper, lower[shift:] + lower[:shift] + upper[shift:] + upper[:shift])
    return text.translate(table)


def run_report():
    rows = [("apples", 3, 1.25), ("pears", 12, 0.5)]
    lines = [f"{name:<10}{count:>5}{price * count:>10.2f}" for name, count, price in rows]
    lines.append("%-10s%5d" % ("total", sum(count for _, count, _ in rows)))
    lines.append("{:=^20}".format(" end "))
    return "\n".join(lines)


def run_wrap():
    return textwrap.fill("the quick brown fox jumps over the lazy dog", width=20), textwrap.dedent("  a\n  b")


def run_difference():
    return list(difflib.unified_diff(["a", "b"], ["a", "c"], lineterm="")), difflib.get_close_matches("appl", ["apple"])


def run_anagrams():
    groups = {}
    for word in ("listen", "silent", "enlist", "google"):
        groups.setdefault("".join(sorted(word)), []).append(word)
    return sorted(groups.values(), key=len)


def run_template():
    return string.Template("$who likes $what").substitute(who="tim", what="pie")


def run_paths():
    return [os.path.join("a", os.path.basename(path)) for path in ("/x/y.txt", "z")]


# Data


RECORDS = '[{"name": "ann", "age": 31}, {"name": "bob", "age": 25}]'


def run_json_transform():
    records = json.loads(RECORDS)
    for record in records:
        record["adult"] = record.get("age", 0) >= 18
        record["name"] = record["name"].title()
    return json.dumps({"people": records}, indent=1, sort_keys=True)


def run_csv():
    rows = csv.DictReader(io.StringIO("name,amount\nann,3\nbob,4\nann,5\n"))
    totals = defaultdict(int)
    for row in rows:
        totals[row["name"]] += int(row["amount"])
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["name", "total"])
    writer.writerows(sorted(totals.items()))
    return out.getvalue()


def run_hashing():
    digest = hashlib.sha256(b"start")
    for number in range(20):
        digest.update(str(number).encode())
    return digest.hexdigest(), hashlib.md5(b"x").hexdigest(), zlib.crc32(b"x"), base64.b64encode(b"x")


def merkle_root(leaves):
    level = [hashlib.sha256(leaf).digest() for leaf in leaves]
    while len(level) > 1:
        if len(level) % 2:
            level.append(level[-1])
        level = [hashlib.sha256(a + b).digest() for a, b in zip(level[::2], level[1::2])]
    return level[0].hex()


def run_merkle_tree():
    return merkle_root([b"a", b"b", b"c"])


def run_proof_of_work(prefix="00"):
    for nonce in itertools.count():
        digest = hashlib.sha256(f"block:{nonce}".encode()).hexdigest()
        if digest.startswith(prefix):
            return nonce, digest


def run_struct():
    packed = b"".join(struct.pack("<Ih", number, -number) for number in range(5))
    return [struct.unpack_from("<Ih", packed, offset) for offset in range(0, len(packed), struct.calcsize("<Ih"))]


Point = namedtuple("Point", "x y")
ORIGIN = Point(0, 0)


def run_namedtuple_records():
    points = [Point(3, 4), Point(1, 1), ORIGIN._replace(x=9)]
    return min(points, key=lambda p: (p.x - ORIGIN.x) ** 2 + (p.y - ORIGIN.y) ** 2), points[0]._asdict()


def run_group_by():
    people = [{"name": "ann", "team": "x"}, {"name": "bob", "team": "y"}, {"name": "cy", "team": "x"}]
    people.sort(key=itemgetter("team", "name"))
    return {team: [p["name"] for p in group] for team, group in itertools.groupby(people, key=itemgetter("team"))}


def flatten(value):
    if isinstance(value, (list, tuple)):
        for each in value:
            yield from flatten(each)
    else:
        yield value


def run_flatten():
    return list(flatten([1, [2, (3, [4])], 5]))


def numbers(limit):
    yield from range(limit)


def squares(values):
    for value in values:
        yield value * value


def odd(values):
    return (value for value in values if value % 2)


def run_generator_pipeline():
    return sum(odd(squares(numbers(30))))


def averager():
    total, count, average = 0, 0, None
    while True:
        value = yield average
        total += value
        count += 1
        average = total / count


def run_generator_sending():
    generator = averager()
    next(generator)
    return [generator.send(value) for value in (10, 20, 30)]


class Tree:
    def __init__(self, value):
        self.value = value
        self.left: Tree | None = None
        self.right: Tree | None = None

    def insert(self, value):
        side = "left" if value < self.value else "right"
        child = getattr(self, side)
        if child is None:
            setattr(self, side, Tree(value))
        else:
            child.insert(value)

    def __iter__(self):
        if self.left:
            yield from self.left
        yield self.value
        if self.right:
            yield from self.right

    def __len__(self):
        return 1 + sum(len(child) for child in (self.left, self.right) if child)


def run_binary_tree():
    tree = Tree(5)
    for value in (2, 8, 1, 9, 3):
        tree.insert(value)
    return list(tree), len(tree)


class LinkedList:
    class Link:
        def __init__(self, value, rest):
            self.value, self.rest = value, rest

    def __init__(self, values=()):
        self.head = None
        for value in reversed(list(values)):
            self.head = self.Link(value, self.head)

    def __iter__(self):
        link = self.head
        while link is not None:
            yield link.value
            link = link.rest

    def reverse(self):
        result = type(self)()
        for value in self:
            result.head = self.Link(value, result.head)
        return result


def run_linked_list():
    return list(LinkedList("abc").reverse())


class Shape(abc.ABC):
    @abc.abstractmethod
    def area(self): ...

    def __lt__(self, other):
        return self.area() < other.area()

    def __repr__(self):
        return f"{self.__class__.__name__}({self.area():.1f})"


class Circle(Shape):
    def __init__(self, radius):
        self.radius = radius

    def area(self):
        return math.pi * self.radius**2


class Square(Shape):
    def __init__(self, side):
        super().__init__()
        self.side = side

    def area(self):
        return self.side**2


def run_shapes():
    return repr(sorted([Circle(2), Square(3), Circle(1)]))


class Sized(Protocol):
    def size(self) -> int: ...


class Box:
    def __init__(self, *items: Any) -> None:
        self.items = items

    def size(self) -> int:
        return len(self.items)


def total_size(things: list[Sized]) -> int:
    return sum(thing.size() for thing in things)


def run_protocol():
    return total_size([Box(1, 2), Box()])


@functools.total_ordering
class Money:
    CURRENCIES = ("EUR", "USD")

    def __init__(self, cents, currency="EUR"):
        if currency not in self.CURRENCIES:
            raise ValueError(currency)
        self.cents, self.currency = cents, currency

    def __eq__(self, other):
        return self.cents == other.cents

    def __lt__(self, other):
        return self.cents < other.cents

    def __hash__(self):
        return hash((self.cents, self.currency))

    def __add__(self, other):
        return Money(self.cents + other.cents)

    __radd__ = __add__


def run_money():
    return sum([Money(1), Money(2)], Money(0)).cents, Money(1) <= Money(2), len({Money(1), Money(1)})


class Vector(tuple):
    __slots__ = ()

    def __new__(cls, *values):
        return super().__new__(cls, values)

    def __add__(self, other):
        return Vector(*map(operator.add, self, other))

    def __matmul__(self, other):
        return sum(a * b for a, b in zip(self, other))


def run_vectors():
    return Vector(1, 2) + Vector(3, 4), Vector(1, 2) @ Vector(3, 4)


class BudgetError(ValueError):
    def __init__(self, missing):
        super().__init__(f"{missing} are missing")
        self.missing = missing


def spend(budget, cost):
    if cost > budget:
        raise BudgetError(cost - budget)
    return budget - cost


def run_exceptions():
    results = []
    for cost in (3, 30):
        try:
            results.append(spend(10, cost))
        except BudgetError as error:
            results.append((error.missing, str(error)))
        finally:
            results.append("checked")
    return results


def run_bank():
    class Account:
        opened = 0

        def __init__(self):
            self.balance = 0

        def deposit(self, amount):
            self.balance += amount
            return self

    return Account().deposit(5).deposit(6).balance


def compose(*functions):
    return functools.reduce(lambda f, g: lambda x: g(f(x)), functions)


def run_compose():
    return compose(str.strip, str.title, lambda text: text + "!")("  hello ")


def traced(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        result = function(*args, **kwargs)
        return result, len(args) + len(kwargs)

    return wrapper


@traced
def area(width, height=2):
    return width * height


def run_decorated():
    return area(3, height=4), area.__name__


def repeat(times):
    def decorate(function):
        @functools.wraps(function)
        def wrapper(*args):
            return [function(*args) for _ in range(times)]

        return wrapper

    return decorate


@repeat(3)
def cube(number):
    return number**3


def run_parametrised_decorator():
    return cube(2)


HANDLERS = (("add", operator.add), ("area", area), ("length", len))


def run_dispatch_table():
    handlers = dict(HANDLERS)
    return handlers["add"](1, 2), handlers["length"]("abc")


def run_dates():
    day, days = dt.date(2024, 2, 27), []
    while day < dt.date(2024, 3, 2):
        days.append(day.isoformat())
        day += dt.timedelta(days=1)
    moment = dt.datetime(2024, 1, 1, 12, tzinfo=dt.timezone.utc)
    return (
        days,
        moment.strftime("%Y-%m-%d"),
        f"{moment:%H:%M}",
        (dt.datetime(2024, 5, 1) - dt.datetime(2024, 1, 1)).days,
    )


def run_uuid5():
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, "example.org")), uuid.UUID(int=5).hex


def run_deepcopy():
    original = {"a": [1, 2], "b": {"c": (3,)}}
    changed = copy.deepcopy(original)
    changed["a"].append(3)
    return original, changed


def run_imports_inside():
    import math
    from itertools import combinations
    from math import comb as choose

    return [math.factorial(n) for n in range(5)], choose(5, 2), list(combinations("abc", 2))


def run_ordered():
    order = OrderedDict(sorted({"b": 1, "a": 2}.items()))
    order.move_to_end("a")
    chain = collections.ChainMap({"x": 1}, {"x": 2, "y": 3})
    return list(order), chain["x"], chain["y"]


def run_merge_sort():
    def sort(items):
        if len(items) < 2:
            return items
        middle = len(items) // 2
        left, right = sort(items[:middle]), sort(items[middle:])
        merged = []
        while left and right:
            merged.append((left if left[0] <= right[0] else right).pop(0))
        return merged + left + right

    return sort([3, 1, 2, 5, 4])


def run_quick_sort():
    def sort(items):
        if not items:
            return []
        pivot, *rest = items
        return sort([x for x in rest if x < pivot]) + [pivot] + sort([x for x in rest if x >= pivot])

    return sort([3, 1, 2, 5, 4])


def run_huffman(text="abracadabra"):
    heap = [(count, index, letter) for index, (letter, count) in enumerate(sorted(Counter(text).items()))]
    heapq.heapify(heap)
    index = len(heap)
    while len(heap) > 1:
        (a, _, left), (b, _, right) = heapq.heappop(heap), heapq.heappop(heap)
        heapq.heappush(heap, (a + b, index, (left, right)))
        index += 1
    codes = {}

    def walk(node, prefix):
        if isinstance(node, tuple):
            walk(node[0], prefix + "0")
            walk(node[1], prefix + "1")
        else:
            codes[node] = prefix

    walk(heap[0][2], "")
    return codes


def run_roman(number=1994):
    table = [(1000, "M"), (900, "CM"), (500, "D"), (400, "CD"), (100, "C"), (90, "XC")]
    table += [(50, "L"), (40, "XL"), (10, "X"), (9, "IX"), (5, "V"), (4, "IV"), (1, "I")]
    result = ""
    for value, letters in table:
        count, number = divmod(number, value)
        result += letters * count
    return result


def run_run_length():
    packed = [(letter, sum(1 for _ in group)) for letter, group in itertools.groupby("aaabccd")]
    return "".join(f"{letter}{count}" for letter, count in packed)


class Stack(list):
    def push(self, value):
        self.append(value)
        return self

    @property
    def top(self):
        return self[-1]


def run_brackets(text="{[()]}"):
    pairs, stack = {")": "(", "]": "[", "}": "{"}, Stack()
    for letter in text:
        if letter in pairs:
            if not stack or stack.pop() != pairs[letter]:
                return False
        else:
            stack.push(letter)
    return not stack


class Cached:
    """A cache of its own instance."""

    def __init__(self):
        self._cache = {}

    @functools.cached_property
    def base(self):
        return sum(range(10))

    def power(self, n):
        if n not in self._cache:
            self._cache[n] = self.base**n
        return self._cache[n]


def run_cache_of_an_instance():
    cached = Cached()
    return cached.power(2), cached.power(2)


class Timer:
    def __init__(self):
        self.entered = 0

    def __enter__(self):
        self.entered += 1
        return self

    def __exit__(self, *details):
        return False


def run_with_statement():
    timer = Timer()
    for _ in range(3):
        with timer as entered:
            pass
    return entered.entered


def run_keyword_arguments():
    def describe(*parts, sep=" ", **options):
        return sep.join(map(str, parts)) + json.dumps(options, sort_keys=True)

    options = {"b": 1, "a": 2}
    return describe(1, 2, sep="-", **options), describe(*range(3))


def run_type_dispatch():
    def size(value):
        match value:
            case int() | float():
                return 1
            case str(text):
                return len(text)
            case [first, *rest]:
                return size(first) + size(rest)
            case {"size": known}:
                return known
            case Box(items=items):
                return len(items)
            case _:
                return 0

    return [size(each) for each in (1, "abc", [1, "ab"], {"size": 9}, Box(1), None)]


def run_memoryview():
    data = bytearray(b"hello world")
    view = memoryview(data)
    view[0:5] = b"HELLO"
    return bytes(data), data.decode().upper(), int.from_bytes(data[:2], "big")


def run_sets():
    evens, squares_ = {n for n in range(20) if n % 2 == 0}, {n * n for n in range(5)}
    return sorted(evens & squares_), sorted(evens ^ squares_)[:3], evens.isdisjoint(squares_)


class Access(enum.Flag):
    READ, WRITE, RUN = 4, 2, 1
    ALL = 7


def run_flags():
    granted = Access.READ | Access.RUN
    return [granted.value, Access.WRITE in granted, [each.name for each in ~granted], Access["ALL"] is Access(7)]


class Planet(enum.Enum):
    EARTH = (5.976e24, 6.378e6)
    MARS = (6.421e23, 3.397e6)
    HOME = EARTH

    def __init__(self, mass, radius):
        self.mass, self.radius = mass, radius

    @property
    def gravity(self):
        return 6.673e-11 * self.mass / self.radius**2


def run_members_with_attributes():
    return [(planet.name, round(planet.gravity, 2)) for planet in Planet], Planet.HOME is Planet["EARTH"]
