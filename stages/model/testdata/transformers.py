"""Computes testdata/transformers.json with the transformers library, in float64.

    barograph model build bert-small -o bert-small.onnx
    python3 transformers.py bert-small.onnx > transformers.json

Needs onnx, torch and transformers. The weights are those of the ONNX file;
matrices of linear layers are stored transposed in it.
"""
import hashlib
import json
import sys

import onnx
import torch
import transformers

path = sys.argv[1]
weights = {t.name: torch.tensor(onnx.numpy_helper.to_array(t)) for t in onnx.load(path).graph.initializer}
model = transformers.BertModel(transformers.BertConfig(
    num_hidden_layers=2, hidden_size=48, num_attention_heads=4, intermediate_size=96,
    vocab_size=61, max_position_embeddings=16, type_vocab_size=2, layer_norm_eps=1e-12,
    hidden_act="gelu", attn_implementation="eager")).double().eval()
state = {n: (w.T if n.endswith(".weight") and w.ndim == 2 and "embeddings" not in n else w).double() for n, w in weights.items()}
missing, unexpected = model.load_state_dict(state, strict=False)
assert not unexpected and set(missing) <= {"embeddings.position_ids", "embeddings.token_type_ids"}, (missing, unexpected)
assert sum(p.numel() for p in model.parameters()) == 44160

torch.manual_seed(1)
inputs = {
    "input_ids": torch.randint(0, 61, (3, 8)),
    "attention_mask": torch.tensor([[1] * 8, [1] * 5 + [0] * 3, [1, 0, 1, 1, 0, 0, 1, 0]]),
    "token_type_ids": torch.randint(0, 2, (3, 8)),
}
with torch.no_grad():
    out = model(**inputs)
json.dump({
    "transformers": transformers.__version__, "torch": torch.__version__,
    "sha256": hashlib.sha256(open(path, "rb").read()).hexdigest(),
    **{k: v.flatten().tolist() for k, v in inputs.items()},
    "last_hidden_state": [round(v, 9) for v in out.last_hidden_state.flatten().tolist()],
    "pooler_output": [round(v, 9) for v in out.pooler_output.flatten().tolist()],
}, sys.stdout, indent=None, separators=(",", ":"))
print()
