"""Time a model with Python's onnxruntime, as its users do.

Reads one line of JSON from standard input: file, calls, warmup, threads, cpus,
and inputs, a map of name to {type, shape, data}. Writes one line: the version
of onnxruntime, the latencies of the timed calls, and how long this thread was
ready and its processor another's while they ran; both in nanoseconds.
"""
import gc
import json
import os
import sys
import time

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



def delay():
    with open("/proc/thread-self/schedstat") as f:
        return int(f.read().split()[1])


for _ in range(job["warmup"]):
    session.run(None, feed)
gc.disable()
latencies = []
before = delay()
for _ in range(job["calls"]):
    start = time.perf_counter_ns()
    session.run(None, feed)
    latencies.append(time.perf_counter_ns() - start)
after = delay()

json.dump({"version": onnxruntime.__version__, "latencies": latencies, "delay": after - before}, sys.stdout)
