"""Computes reference.json with PyTorch, transformers and torchvision, in
float64, on the weights of the models under configs.

    cd testdata/reference && python3 reference.py BAROGRAPH > reference.json

BAROGRAPH is the program, which builds the models: those here, small enough for every
architecture to be compared in seconds, and of those that ship the two from torchvision
whose files are small. Needs onnx, torch, torchvision
and transformers. Initialisers have the names of the libraries' parameters; those
of linear layers are stored transposed. Inputs are made as reference_test.go makes
them: by a formula.
"""
import hashlib
import json
import math
import pathlib
import subprocess
import sys
import tempfile

import onnx
import torch
import torch.nn.functional as F
import torchvision
import transformers

torch.set_grad_enabled(False)
program = pathlib.Path(sys.argv[1]).absolute()


def reals(*shape):
    n = math.prod(shape)
    return torch.tensor([math.sin(i) for i in range(n)], dtype=torch.float64).float().double().reshape(shape)


def tokens(bound, *shape):
    return torch.tensor([(7 * i + 3) % bound for i in range(math.prod(shape))]).reshape(shape)


def fill(module, weights, rename=lambda name: name):
    """Gives a module the weights, each of which must fit."""
    linear = {n + ".weight" for n, m in module.named_modules() if isinstance(m, torch.nn.Linear)}
    state = {}
    for name, w in weights.items():
        name = rename(name)
        state[name] = (w.T if name in linear else w).double()
    missing, unexpected = module.double().eval().load_state_dict(state, strict=False)
    missing = [m for m in missing if not m.endswith(("num_batches_tracked", "position_ids", "lm_head.weight", "attn.bias", "masked_bias"))]
    assert not unexpected and not missing, (missing, unexpected)
    return module


def renamed(pairs):
    """Renames parameters by replacing parts of their names, in turn."""
    def rename(name):
        for a, b in pairs:
            name = name.replace(a, b)
        return name
    return rename


def distilbert(w):
    names = [("encoder.layer", "transformer.layer"), ("attention.self.query", "attention.q_lin"), ("attention.self.key", "attention.k_lin"),
             ("attention.self.value", "attention.v_lin"), ("attention.output.dense", "attention.out_lin"),
             ("attention.output.LayerNorm", "sa_layer_norm"), ("intermediate.dense", "ffn.lin1"), ("output.dense", "ffn.lin2"),
             ("output.LayerNorm", "output_layer_norm")]

    model = fill(transformers.DistilBertModel(transformers.DistilBertConfig(
        vocab_size=61, max_position_embeddings=16, n_layers=2, n_heads=4, dim=48, hidden_dim=96, attn_implementation="eager")), w, renamed(names))
    out = model(input_ids=tokens(61, 2, 8), attention_mask=tokens(2, 2, 8))
    return {"batch": 2, "sequence": 8}, {"last_hidden_state": out.last_hidden_state}


def gpt(w):
    return fill(transformers.GPT2LMHeadModel(transformers.GPT2Config(
        vocab_size=61, n_positions=32, n_embd=48, n_layer=3, n_head=4, attn_implementation="eager")), w, lambda n: "transformer." + n)


def stacked(cache):
    return torch.stack([torch.stack([l.keys, l.values], 1) for l in cache.layers], 1)


def gpt2_prefill(w):
    out = gpt(w)(input_ids=tokens(61, 2, 9), use_cache=True)
    return {"batch": 2, "sequence": 9}, {"logits": out.logits, "present": stacked(out.past_key_values)}


def gpt2_decode(w):
    past = reals(2, 3, 2, 4, 5, 12)
    cache = transformers.DynamicCache()
    for l in range(3):
        cache.update(past[:, l, 0], past[:, l, 1], l)
    out = gpt(w)(input_ids=tokens(61, 2, 3), past_key_values=cache, use_cache=True)
    return {"batch": 2, "sequence": 3, "past": 5}, {"logits": out.logits, "present": stacked(out.past_key_values)}


def vit(w):
    # The names of version 5 of the library; checkpoints keep those of before.
    names = [("encoder.layer", "layers"), ("attention.attention.query", "attention.q_proj"), ("attention.attention.key", "attention.k_proj"),
             ("attention.attention.value", "attention.v_proj"), ("attention.output.dense", "attention.o_proj"),
             ("intermediate.dense", "mlp.fc1"), ("output.dense", "mlp.fc2")]
    model = fill(transformers.ViTForImageClassification(transformers.ViTConfig(
        hidden_size=48, num_hidden_layers=2, num_attention_heads=4, intermediate_size=96, image_size=24, patch_size=8,
        layer_norm_eps=1e-12, num_labels=11, attn_implementation="eager")), w, renamed(names))
    return {"batch": 2}, {"logits": model(pixel_values=reals(2, 3, 24, 24)).logits}


def resnet(w):
    model = torchvision.models.ResNet(torchvision.models.resnet.Bottleneck, [3, 4, 6, 3], num_classes=11, width_per_group=64)
    narrow(model, 8)
    return {"batch": 2}, {"logits": fill(model, w)(reals(2, 3, 64, 64))}


def narrow(model, by):
    """Divides the channels of all layers between an image and its classes."""
    for parent in list(model.modules()):
        for name, m in list(parent.named_children()):
            few = lambda n: n if n in (3, 11) else n // by
            if isinstance(m, torch.nn.Conv2d):
                setattr(parent, name, torch.nn.Conv2d(few(m.in_channels), few(m.out_channels), m.kernel_size, m.stride, m.padding, bias=False))
            elif isinstance(m, torch.nn.BatchNorm2d):
                setattr(parent, name, torch.nn.BatchNorm2d(few(m.num_features)))
            elif isinstance(m, torch.nn.Linear):
                setattr(parent, name, torch.nn.Linear(few(m.in_features), m.out_features))


def mobilenet(w):
    settings = [[1, 8, 1, 1], [6, 8, 2, 2], [6, 8, 3, 2], [6, 16, 4, 2], [6, 24, 3, 1], [6, 40, 3, 2], [6, 80, 1, 1]]
    model = torchvision.models.MobileNetV2(num_classes=11, inverted_residual_setting=settings)
    # Its constructor takes neither first nor last width below those of the paper.
    conv, norm = torch.nn.Conv2d, torch.nn.BatchNorm2d
    model.features[0][0], model.features[0][1] = conv(3, 8, 3, 2, 1, bias=False), norm(8)
    first = model.features[1].conv
    first[0][0], first[0][1], first[1] = conv(8, 8, 3, 1, 1, groups=8, bias=False), norm(8), conv(8, 8, 1, bias=False)
    model.features[18][0], model.features[18][1] = conv(80, 128, 1, bias=False), norm(128)
    model.classifier[1] = torch.nn.Linear(128, 11)
    first_block = model.features[1]
    first_block.use_res_connect = True  # 8 channels in, 8 out, stride 1
    return {"batch": 2}, {"logits": fill(model, w)(reals(2, 3, 64, 64))}


def mobilenet_shipped(w):
    return {"batch": 1}, {"logits": fill(torchvision.models.mobilenet_v2(), w)(reals(1, 3, 224, 224))}


def resnet_shipped(w):
    return {"batch": 1}, {"logits": fill(torchvision.models.resnet50(), w)(reals(1, 3, 224, 224))}


def unet(w):
    """U-Net as in the paper, with padding and normalisation, written with PyTorch's functions."""
    w = {n: v.double() for n, v in w.items()}

    def block(x, scope, name):
        for i in "12":
            x = F.conv2d(x, w[f"{scope}.{name}conv{i}.weight"], padding=1)
            p = f"{scope}.{name}norm{i}."
            x = F.relu(F.batch_norm(x, w[p + "running_mean"], w[p + "running_var"], w[p + "weight"], w[p + "bias"]))
        return x
    x, skips = reals(2, 3, 32, 32), []
    for l in range(1, 5):
        skips.append(block(x, f"encoder{l}", f"enc{l}"))
        x = F.max_pool2d(skips[-1], 2)
    x = block(x, "bottleneck", "bottleneck")
    for l in range(4, 0, -1):
        x = F.conv_transpose2d(x, w[f"upconv{l}.weight"], w[f"upconv{l}.bias"], stride=2)
        x = block(torch.cat((x, skips[l - 1]), 1), f"decoder{l}", f"dec{l}")
    return {"batch": 2}, {"mask": torch.sigmoid(F.conv2d(x, w["conv.weight"], w["conv.bias"]))}


models = {"distilbert-small": distilbert, "gpt2-small": gpt2_prefill, "gpt2-cache": gpt2_decode, "vit-small": vit,
          "resnet-small": resnet, "mobilenetv2-small": mobilenet, "unet-small": unet}
shipped = {"mobilenetv2": mobilenet_shipped, "resnet50": resnet_shipped}
cases = []
for name, compute in (models | shipped).items():
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "m.onnx"
        workspace = "../../../.." if name in shipped else "."
        subprocess.run([program, "model", "build", name, "-o", file], check=True, stdout=subprocess.DEVNULL, cwd=workspace)
        weights = {t.name: torch.tensor(onnx.numpy_helper.to_array(t)) for t in onnx.load(file).graph.initializer}
        dims, outputs = compute(weights)
        cases.append({"model": name, "shipped": name in shipped, "sha256": hashlib.sha256(file.read_bytes()).hexdigest(), "dims": dims,
                      "outputs": {k: [float(f"{v:.8g}") for v in t.flatten().tolist()] for k, t in outputs.items()}})
        for k, t in outputs.items():
            print(name, k, list(t.shape), "rms", t.square().mean().sqrt().item(), file=sys.stderr)
json.dump({"torch": torch.__version__, "torchvision": torchvision.__version__, "transformers": transformers.__version__, "cases": cases},
          sys.stdout, separators=(",", ":"))
print()
