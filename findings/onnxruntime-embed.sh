#!/bin/sh
# onnxruntime 1.32.0: an output that is optional has to be there.
#
# The documentation of com.microsoft.EmbedLayerNormalization lists one to three outputs, and the second, mask_index, as
# optional. A model that leaves it out does not load: its type inference asks for output 1 whatever the node has. With a
# name for it that nothing uses, and no mask to make it from, the same model runs.
#
# Why it hurts: who builds BERT from the fused operators, as serving does, finds that the graph which follows the
# operator's description is refused, with words about types and not about the missing output.
#
# Seen 2026-11-28, Python 3.11, onnx 1.23.2, linux/amd64:
#   one output:  [TypeInferenceError] output index 1 is out of range; node has 1 outputs
#   two outputs: runs
set -eu
command -v python3 >/dev/null || { echo "needs python3"; exit 77; }
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/v" >/dev/null 2>&1 && "$dir/v/bin/pip" install -q onnxruntime==1.32.0 onnx==1.23.2 >/dev/null 2>&1 || { echo "needs the packages"; exit 77; }
"$dir/v/bin/python" - <<'EOF'
import re
import sys
import numpy as np
import onnxruntime
from onnx import TensorProto as T, helper as h, numpy_helper as nh

def load(outputs):
    rows = {"word": 8, "place": 4}
    weights = [nh.from_array(np.ones((n, 16), np.float32), k) for k, n in rows.items()]
    weights += [nh.from_array(np.ones(16, np.float32), k) for k in ("scale", "shift")]
    node = h.make_node("EmbedLayerNormalization", ["ids", "", "word", "place", "", "scale", "shift"], outputs, domain="com.microsoft")
    graph = h.make_graph([node], "g", [h.make_tensor_value_info("ids", T.INT32, [1, 4])],
                         [h.make_tensor_value_info("y", T.FLOAT, [1, 4, 16])], weights)
    model = h.make_model(graph, opset_imports=[h.make_opsetid("", 12), h.make_opsetid("com.microsoft", 1)], ir_version=7)
    try:
        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        session.run(None, {"ids": np.zeros((1, 4), np.int32)})
        return "runs"
    except Exception as e:
        return re.search(r"\[TypeInferenceError\].*outputs", str(e)).group(0)

one, two = load(["y"]), load(["y", "unused"])
print("one output: ", one)
print("two outputs:", two)
if one == "runs" or two != "runs":
    sys.exit("CHANGED")
EOF
