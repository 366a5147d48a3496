"""Writes external.onnx and external.onnx.data, weights apart, with PyTorch's exporter.

    python3 external.py

Needs torch and onnxscript.
"""
import torch

torch.manual_seed(0)
network = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(8, 5))
torch.onnx.export(network.eval(), (torch.randn(1, 3, 16, 16),), "external.onnx", input_names=["image"], output_names=["logits"],
                  dynamo=True, external_data=True)
