"""Reference values for the tests of stages/stats, from SciPy and from brute force.

How they were got (Python 3.11, SciPy 1.17.1, NumPy from the same install):

    python3 -m venv /tmp/venv && /tmp/venv/bin/pip install scipy==1.17.1
    /tmp/venv/bin/python reference.py > reference.json
"""
import itertools
import json
import math

import numpy as np
from scipy import optimize, stats

rng = np.random.default_rng(20240229)
out = {}

# Quantiles and their order-statistic intervals, Harrell-Davis, autocorrelation.
sample = np.round(np.exp(rng.normal(18.6, 0.05, 1000))).astype(np.int64)
out["sample"] = sample.tolist()
out["intervals"] = []
for n in (60, 100, 300, 1000):
    x = np.sort(sample[:n])
    for q in (0.1, 0.5, 0.9):
        ci = stats.quantile_test(x, q=float(np.quantile(x, q)), p=q).confidence_interval(0.95)
        out["intervals"].append({
            "n": n, "q": q, "low": int(ci.low), "high": int(ci.high),
            "value": int(np.quantile(x, q, method="inverted_cdf")),
            "hd": float(stats.mstats.hdquantiles(x, prob=[q])[0]),
        })
out["hd99"] = float(stats.mstats.hdquantiles(sample, prob=[0.99])[0])
x = sample - sample.mean()
out["lag1"] = float((x[1:] * x[:-1]).sum() / (x * x).sum())
out["binomial"] = [
    {"k": k, "n": n, "p": p, "cdf": float(stats.binom.cdf(k, n, p))}
    for k, n, p in [(3, 10, 0.5), (290, 300, 0.99), (9_900_300, 10_000_000, 0.99), (4_998_000, 10_000_000, 0.5), (2, 300, 0.01)]
]

rng.integers(0, 8, 24), rng.normal(0, 3, 24), rng.normal(0, 1, 12), rng.normal(0, 2, 12)  # what follows is of later draws


def jonckheere(groups):
    return sum(
        (u < v) + 0.5 * (u == v)
        for i, j in itertools.combinations(range(len(groups)), 2)
        for u in groups[i] for v in groups[j]
    )


def arrangements(values, sizes):
    """Every way to deal values into groups of these sizes."""
    if len(sizes) == 1:
        yield [values]
        return
    index = range(len(values))
    for chosen in itertools.combinations(index, sizes[0]):
        rest = [values[i] for i in index if i not in chosen]
        for tail in arrangements(rest, sizes[1:]):
            yield [[values[i] for i in chosen]] + tail


out["jonckheere"] = []
for sizes, values in [
    ((3, 3, 3), list(range(9))),
    ((2, 4, 3), list(range(9))),
    ((2, 2, 2, 2), list(range(8))),
    ((3, 3, 3), [1, 1, 2, 2, 2, 3, 4, 4, 5]),
    ((2, 3, 4), [1, 2, 2, 2, 3, 3, 3, 3, 4]),
]:
    all_j = [jonckheere(g) for g in arrangements(values, sizes)]
    mean = sum(all_j) / len(all_j)
    observed = sorted(all_j)[int(0.9 * len(all_j))]
    example = next(g for g in arrangements(values, sizes) if jonckheere(g) == observed)
    variance = sum((j - mean) ** 2 for j in all_j) / len(all_j)
    out["jonckheere"].append({
        "groups": example, "tied": len(set(values)) < len(values), "j": observed,
        "exact": sum(j >= observed for j in all_j) / len(all_j),
        "normal": float(stats.norm.sf((observed - mean) / math.sqrt(variance))),
    })

# Growth laws: least squares on ln y, started from many places.
rho = np.repeat([0, 0.15, 0.3, 0.5, 0.7, 0.85], 3) + np.tile([0, 0.01, 0.02], 6)
queued = np.repeat([0, 1, 4, 16, 64, 256], 3) * 1e5
service = np.repeat([0, 1, 2, 4, 8, 16], 3) * 1e5
y = 120e6 * (1 + 0.1 * rho / (1 - rho)) * np.exp(rng.normal(0, 0.03, rho.size))
laws = {
    "constant": (lambda p, c: np.full_like(rho, p[0]), 1),
    "linear": (lambda p, c: p[0] + p[1] * rho, 2),
    "exponential": (lambda p, c: p[0] * np.exp(p[1] / 120 * rho), 2),
    "queueing": (lambda p, c: p[0] + p[1] * rho / (1 - rho), 2),
    "M/D/1": (lambda p, c: p[0] + p[1] * service / 1e6 * rho / (2 * (1 - rho)), 2),
    "queued bytes": (lambda p, c: p[0] + p[1] * queued / 1e6, 2),
    "hockey stick": (lambda p, c: p[0] + p[1] * np.maximum(0, rho - c), 3),
}
out["growth"] = {"rho": rho.tolist(), "queued": queued.tolist(), "service": service.tolist(), "y": y.tolist(), "fits": {}}


def rss_of(f, c):
    best = None
    for start in itertools.product((100, 120, 150), (0.01, 1, 20, 200)):
        r = optimize.least_squares(
            lambda p: np.log(np.maximum(f(p, c), 1e-9)) - np.log(y / 1e6), start,
            bounds=([1e-6, 0], [np.inf, np.inf]), xtol=1e-15, ftol=1e-15, gtol=1e-15, max_nfev=10000)
        if best is None or 2 * r.cost < best:
            best = 2 * r.cost
    return best


for name, (f, k) in laws.items():
    if name == "hockey stick":
        # The bend may lie from the second to the last but one level's mean.
        rss = min(rss_of(f, c) for c in np.linspace(0.16, 0.71, 111))
    else:
        rss = rss_of(f, 0)
    n, k = rho.size, k + 1
    out["growth"]["fits"][name] = {
        "rss": rss,
        "aicc": n * math.log(rss / n) + 2 * k + 2 * k * (k + 1) / (n - k - 1),
        "bic": n * math.log(rss / n) + k * math.log(n),
    }

print(json.dumps(out))
