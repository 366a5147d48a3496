"""Time a model with Python's onnxruntime, as its users do.

Reads lines of JSON from standard input and answers each with one. The first
tells file, warmup, threads, cpus and inputs, a map of name to {type, shape,
data}; the answer is the version of onnxruntime. Each further line is a number
of calls to make; the answer is their latencies, and how long this thread was
ready and its processor another's while they ran, in nanoseconds.
"""
import gc
import json
import os
import sys
import time


def answer(value):
    print(json.dumps(value), flush=True)


def delay():
    with open("/proc/thread-self/schedstat") as f:
        return int(f.read().split()[1])


job = json.loads(sys.stdin.readline())
if job["cpus"]:
    os.sched_setaffinity(0, job["cpus"])  # before the library starts its threads

import numpy
import onnxruntime

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = job["threads"]
options.inter_op_num_threads = 1
session = onnxruntime.InferenceSession(job["file"], options, providers=["CPUExecutionProvider"])
feed = {
    name: numpy.array(t["data"], dtype=t["type"]).reshape(t["shape"])
    for name, t in job["inputs"].items()
}
for _ in range(job["warmup"]):
    session.run(None, feed)
gc.disable()
answer({"version": onnxruntime.__version__})

for line in sys.stdin:
    latencies = []
    before = delay()
    for _ in range(int(line)):
        start = time.perf_counter_ns()
        session.run(None, feed)
        latencies.append(time.perf_counter_ns() - start)
    answer({"latencies": latencies, "delay": delay() - before})
