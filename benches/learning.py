"""P10: scikit-learn over the joblib backend against loky: a grid search and a cross-validation with a scorer in Python.

Both keep their workers. The first call of each is timed in programs of their own, from before the workers start.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
from pathlib import Path

import joblib
import measure
import numpy as np
from measure import Case, interleave
from sklearn.datasets import make_classification
from sklearn.linear_model import SGDClassifier
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.naive_bayes import GaussianNB

import hypern.joblib  # noqa: F401 - it makes the backend known.

ROWS = 20_000
FEWER_ROWS = 2_000
#: For arrays that are sent: under and over what joblib maps.
SIZES = {"64 KiB": 1 << 13, "800 KiB": 100_000, "64 MiB": 1 << 23}
BACKENDS = ("hypern", "loky")

FIRST = """
import sys, time
from joblib import Parallel, delayed
import hypern.joblib
began = time.perf_counter()
Parallel(n_jobs=int(sys.argv[2]), backend=sys.argv[1])(delayed(abs)(number) for number in range(8))
print(time.perf_counter() - began)
"""


def main() -> None:
    """Run the bench."""
    options = measure.options(__doc__, rounds=5)
    report = measure.Report("learning")
    rows, targets = make_classification(options.scaled(ROWS), n_features=20, random_state=0)

    def search(count: int, alphas: list[float]) -> tuple[object, ...]:
        found = GridSearchCV(SGDClassifier(random_state=0), {"alpha": alphas}, scoring=lift, cv=4, refit=False).fit(
            rows[:count], targets[:count]
        )
        return found.best_params_, found.cv_results_["mean_test_score"].tolist()

    def validate() -> list[float]:
        return cross_val_score(GaussianNB(), rows, targets, scoring=lift, cv=8).tolist()

    def send(size: int) -> list[float]:
        array = np.ones(size)
        return joblib.Parallel()(joblib.delayed(np.max)(array) for _ in range(8))

    works = {
        f"GridSearchCV, 16 fits of {ROWS} rows": lambda: search(len(rows), [10.0**-power for power in range(2, 6)]),
        f"GridSearchCV, 64 fits of {FEWER_ROWS} rows": lambda: search(
            options.scaled(FEWER_ROWS), [10.0**-power for power in range(2, 18)]
        ),
        f"cross_val_score, 8 fits of {ROWS} rows": validate,
        "10,000 calls that do nothing": lambda: joblib.Parallel()(joblib.delayed(abs)(n) for n in range(10_000)),
        **{f"8 calls with an array of {name}": lambda size=size: send(size) for name, size in SIZES.items()},
    }
    table = report.table("a scorer in Python; milliseconds")
    for name, work in works.items():
        results: dict[str, object] = {}

        def run(backend: str, work=work, results=results) -> None:
            with joblib.parallel_config(backend=backend, n_jobs=options.workers):
                results[backend] = work()

        cases = [Case(backend, lambda backend=backend: run(backend)) for backend in BACKENDS]
        taken = interleave(cases, options.rounds)
        if results["hypern"] != results["loky"]:
            raise AssertionError(f"{name}: other results than over loky")
        ratio = taken["hypern"].over(taken["loky"])
        table.add(name, **{backend: taken[backend].seconds * 1e3 for backend in BACKENDS}, ratio=ratio)
        if name.startswith(("Grid", "cross")):
            report.at_most(f"{name}: hypern / loky", ratio, 1.0)

    firsts = [{backend: _first_call(backend, options.workers) for backend in BACKENDS} for _ in range(options.rounds)]
    ratio = statistics.median(each["hypern"] / each["loky"] for each in firsts)
    shown = {backend: statistics.median(each[backend] for each in firsts) * 1e3 for backend in BACKENDS}
    table.add("the first Parallel of a program", **shown, ratio=ratio)
    report.at_most("first Parallel of a program: hypern / loky", ratio, 1.0)
    report.close(options)


def lift(estimator: SGDClassifier | GaussianNB, rows: np.ndarray, targets: np.ndarray) -> float:
    """Score as programs do that count by hand: how many more hits the surest tenth has than all."""
    sure = [float(share) for share in _sureness(estimator, rows)]
    ranked = sorted(zip(sure, map(int, targets), strict=True), key=lambda pair: (-pair[0], pair[1]))
    hits = [target for _, target in ranked]
    bins = [sum(hits[start::50]) / len(hits[start::50]) for start in range(50)]
    tenth = hits[: len(hits) // 10]
    return sum(tenth) / len(tenth) / (sum(hits) / len(hits)) + 1e-9 * sum(value * value for value in bins)


def _sureness(estimator: SGDClassifier | GaussianNB, rows: np.ndarray) -> np.ndarray:
    if hasattr(estimator, "decision_function"):
        return estimator.decision_function(rows)
    return estimator.predict_proba(rows)[:, 1]


def _first_call(backend: str, workers: int) -> float:
    command = [sys.executable, "-c", FIRST, backend, str(workers)]
    done = subprocess.run(command, capture_output=True, check=True, text=True, cwd=Path(__file__).parent)
    return float(done.stdout)


if __name__ == "__main__":
    main()
