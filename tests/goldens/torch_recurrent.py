"""Makes torch_recurrent.npz: weights, inputs and results of PyTorch's recurrent layers.

Made with PyTorch 2.13.0 (CPU) and NumPy 2.4.6; run `python tests/goldens/torch_recurrent.py`.

Keys are `<case>/<name>`: `x` (B, T, D), `outputs`, the first and last states `first_0`, `last_0`
(h) and `first_1`, `last_1` (c) with PyTorch's axes (directions, B, H), and `weight_<k>` in the
order of `state_dict()`. Weights are redrawn so that all of them matter.
"""

import pathlib

import numpy as np
import torch

B, T, D, H, R = 3, 5, 2, 4, 3
CASES = {
    "simple_rnn": (torch.nn.RNN, {}),
    "lstm": (torch.nn.LSTM, {}),
    "lstm_without_bias": (torch.nn.LSTM, {"bias": False}),
    "lstm_projected": (torch.nn.LSTM, {"proj_size": R}),
    "gru": (torch.nn.GRU, {}),
    "gru_without_bias": (torch.nn.GRU, {"bias": False}),
}


def record(layer_class, options):
    """Returns a dict of the arrays of one case."""
    layer = layer_class(D, H, batch_first=True, **options)
    with torch.no_grad():
        for weight in layer.parameters():
            weight.normal_(std=0.7)
    directions = 2 if options.get("bidirectional") else 1
    sizes = [options.get("proj_size") or H]
    if layer_class is torch.nn.LSTM:
        sizes.append(H)
    x = torch.randn(B, T, D)
    first = [torch.randn(directions, B, size) for size in sizes]
    with torch.no_grad():
        outputs, last = layer(x, tuple(first) if len(first) > 1 else first[0])
    last = last if isinstance(last, tuple) else (last,)
    arrays = {"x": x, "outputs": outputs}
    arrays |= {f"first_{k}": s for k, s in enumerate(first)}
    arrays |= {f"last_{k}": s for k, s in enumerate(last)}
    arrays |= {f"weight_{k}": w for k, w in enumerate(layer.state_dict().values())}
    return {name: array.numpy() for name, array in arrays.items()}


def main():
    torch.manual_seed(0)
    goldens = {}
    for name, (layer_class, options) in CASES.items():
        for suffix, direction in (("", {}), ("_bidirectional", {"bidirectional": True})):
            arrays = record(layer_class, options | direction)
            goldens |= {f"{name}{suffix}/{key}": array for key, array in arrays.items()}
    versions = f"torch {torch.__version__}, numpy {np.__version__}"
    path = pathlib.Path(__file__).with_suffix(".npz")
    np.savez_compressed(path, versions=versions, **goldens)
    print(f"{path.name}: {len(goldens)} arrays, {versions}")


if __name__ == "__main__":
    main()
