"""Times and checks BERT in PyTorch for bench/gpu, on the weights of an ONNX file.

    python3 torch_bert.py MODEL.onnx DUMP.json CALLS [--half] [--compile] [--tune]

DUMP.json holds inputs and the outputs that barograph computed for them. Prints
how far these are from PyTorch's in float32 and in float64 (relative norm), and
the latency of PyTorch's variants with CUDA graphs: host memory to host memory, page-locked, float32 without
TF32, the same outputs copied back. With --compile also compiled; with --tune compiled with its own choice among
kernels, which takes many minutes. What is known is printed again after each. With --half PyTorch's variants compute in
float16, and copy their outputs in it, which are half of barograph's bytes; MODEL.onnx is the one in float32.
"""
import json
import sys
import time

import onnx
import torch
import transformers

path, dump, calls = sys.argv[1], json.load(open(sys.argv[2])), int(sys.argv[3])
torch.backends.cuda.matmul.allow_tf32 = False
torch.backends.cudnn.allow_tf32 = False
torch.set_float32_matmul_precision("highest")
weights = {t.name: torch.tensor(onnx.numpy_helper.to_array(t)) for t in onnx.load(path).graph.initializer}
state = {n: (w.T if n.endswith(".weight") and w.ndim == 2 and "embeddings" not in n else w) for n, w in weights.items()}


def bert(attention):
    model = transformers.BertModel(transformers.BertConfig(layer_norm_eps=1e-12, attn_implementation=attention)).eval()
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected and set(missing) <= {"embeddings.position_ids", "embeddings.token_type_ids"}, (missing, unexpected)
    return model.cuda()


def served(attention):
    """The model as it is timed."""
    return bert(attention).half() if "--half" in sys.argv else bert(attention)


def distance(got, want):
    got, want = got.double().flatten(), want.double().flatten()
    return (torch.linalg.norm(got - want) / torch.linalg.norm(want)).item()


def quantiles(ns):
    ns = sorted(ns)
    return {"p50_ns": ns[len(ns) // 2], "p99_ns": ns[int(len(ns) * 0.99)], "n": len(ns)}


def timed(model):
    """Latencies of a captured model, from page-locked inputs to page-locked outputs."""
    ids = torch.tensor(dump["input_ids"]).view(1, -1)
    host_in = [ids.pin_memory(), torch.zeros_like(ids).pin_memory()]
    device_in = [t.cuda() for t in host_in]
    run = lambda: model(input_ids=device_in[0], token_type_ids=device_in[1])
    side = torch.cuda.Stream()
    with torch.no_grad(), torch.cuda.stream(side):
        for _ in range(5):
            run()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.no_grad(), torch.cuda.graph(graph):
        out = run()
        device_out = [out.last_hidden_state, out.pooler_output]
    host_out = [torch.empty(t.shape, pin_memory=True) for t in device_out]
    ns = []
    for i in range(calls + 50):
        start = time.perf_counter_ns()
        for d, h in zip(device_in, host_in):
            d.copy_(h, non_blocking=True)
        graph.replay()
        for d, h in zip(device_out, host_out):
            h.copy_(d, non_blocking=True)
        torch.cuda.synchronize()
        if i >= 50:
            ns.append(time.perf_counter_ns() - start)
    return quantiles(ns), host_out


report = {"precision": "float16" if "--half" in sys.argv else "float32", "torch": torch.__version__, "device": torch.cuda.get_device_name(), "variants": {}, "agreement": {}}
with torch.no_grad():
    exact = bert("eager").double()
    ids = torch.tensor(dump["input_ids"]).view(1, -1).cuda()
    want = exact(input_ids=ids, attention_mask=torch.ones_like(ids), token_type_ids=torch.zeros_like(ids))
    for name in ("last_hidden_state", "pooler_output"):
        report["agreement"][name + " to float64"] = distance(torch.tensor(dump[name]).cuda(), want[name])
    del exact
# Eager attention cannot be captured: it makes its mask from a tensor on the CPU.
report["variants"]["sdpa + CUDA graph"], out = timed(served("sdpa"))
for name, got in zip(("last_hidden_state", "pooler_output"), out):
    report["agreement"][name + " to sdpa"] = distance(torch.tensor(dump[name]), got)
print(json.dumps(report), flush=True)
for flag, mode in (("--compile", None), ("--tune", "max-autotune-no-cudagraphs")):
    if flag in sys.argv:
        torch._dynamo.reset()
        report["variants"][f"compiled sdpa ({mode or 'default'}) + CUDA graph"], _ = timed(torch.compile(served("sdpa"), mode=mode))
        print(json.dumps(report), flush=True)
