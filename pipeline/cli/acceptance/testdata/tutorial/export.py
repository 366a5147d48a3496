"""Writes resnet.onnx, the model of the README's tutorial, with PyTorch's exporter.

    python3 export.py resnet.onnx

Needs torch, torchvision and onnxscript. It is torchvision's ResNet-18 with an
eighth of its channels, so that it is small enough to keep here.
"""
import sys

import torch
import torchvision

torch.manual_seed(0)
network = torchvision.models.ResNet(torchvision.models.resnet.BasicBlock, [2, 2, 2, 2], num_classes=10)
for module in network.modules():
    for name, child in list(module.named_children()):
        def narrow(n):
            return n if n in (3, 10) else n // 8
        if isinstance(child, torch.nn.Conv2d):
            setattr(module, name, torch.nn.Conv2d(narrow(child.in_channels), narrow(child.out_channels), child.kernel_size,
                                                  child.stride, child.padding, bias=False))
        elif isinstance(child, torch.nn.BatchNorm2d):
            setattr(module, name, torch.nn.BatchNorm2d(narrow(child.num_features)))
        elif isinstance(child, torch.nn.Linear):
            setattr(module, name, torch.nn.Linear(narrow(child.in_features), child.out_features))
torch.onnx.export(network.eval(), (torch.randn(1, 3, 224, 224),), sys.argv[1], input_names=["image"], output_names=["logits"],
                  dynamic_shapes={"x": {0: torch.export.Dim("batch")}}, dynamo=True, external_data=False)
