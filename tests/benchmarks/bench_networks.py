"""Fixed points of ten networks trained in PyTorch, against an independent search by SciPy on the equations in NumPy.

Two commands, as PyTorch need not be where this package is:

    python tests/benchmarks/bench_networks.py train FOLDER      (any Python with torch; about two minutes)
    python tests/benchmarks/bench_networks.py compare FOLDER
"""

import sys
import time
from pathlib import Path

import numpy as np

STARTS = 2000
NETWORKS = [  # cell, units, bits of the flip-flop, seed
    ("tanh", 8, 1, 0),
    ("tanh", 12, 2, 1),
    ("tanh", 16, 3, 2),
    ("relu", 8, 1, 3),
    ("relu", 12, 2, 4),
    ("gru", 6, 1, 5),
    ("gru", 8, 2, 6),
    ("gru", 10, 3, 7),
    ("lstm", 5, 1, 8),
    ("lstm", 6, 2, 9),
]


def name_of(cell, units, bits, seed):
    return f"{cell}_{units}_units_{bits}_bits_seed_{seed}.npz"


def train(folder):
    """Train each on a flip-flop: pulses of ±1 set a bit, which the read-out holds."""
    import torch  # not where this package is tested

    folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    for cell, units, bits, seed in NETWORKS:
        torch.manual_seed(seed)
        kinds = {"gru": torch.nn.GRU, "lstm": torch.nn.LSTM}
        options = {"nonlinearity": cell} if cell in ("tanh", "relu") else {}
        model = kinds.get(cell, torch.nn.RNN)(bits, units, batch_first=True, **options)
        head = torch.nn.Linear(units, bits)
        optimizer = torch.optim.Adam([*model.parameters(), *head.parameters()], lr=1e-2)
        for _ in range(500):
            pulses = (torch.rand(32, 30, bits) < 0.2) * torch.sign(torch.randn(32, 30, bits))
            held = [pulses[:, 0]]
            for t in range(1, 30):
                held.append(torch.where(pulses[:, t] == 0, held[-1], pulses[:, t]))
            loss = ((head(model(pulses)[0]) - torch.stack(held, 1)) ** 2).mean()
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_([*model.parameters(), *head.parameters()], 1.0)
            optimizer.step()
        state = {f"rnn.{name}": value.float().numpy() for name, value in model.state_dict().items()}
        np.savez(folder / name_of(cell, units, bits, seed), **state)
        print(f"{name_of(cell, units, bits, seed):<40} loss {loss.item():.3f} after 500 steps", flush=True)


def sigmoid(v):
    return 1 / (1 + np.exp(-v))


def step_of(cell, arrays):
    """One step without input, as PyTorch documents it, in float64."""
    W, b, c = (arrays[f"rnn.{name}_l0"] for name in ("weight_hh", "bias_ih", "bias_hh"))
    total = (b + c).astype(float)  # in single precision, as the model is
    W, b, c = (array.astype(float) for array in (W, b, c))
    n = W.shape[1]
    if cell in ("tanh", "relu"):
        phi = np.tanh if cell == "tanh" else lambda v: np.maximum(v, 0)
        return (lambda h: phi(W @ h + total)), n
    if cell == "gru":

        def gru(h):
            r, z, _ = np.split(sigmoid(W @ h + total), 3)
            new = np.tanh(b[2 * n :] + r * (W[2 * n :] @ h + c[2 * n :]))
            return (1 - z) * new + z * h

        return gru, n

    def lstm(state):
        h, memory = state[:n], state[n:]
        i, f, g, o = np.split(W @ h + total, 4)
        memory = sigmoid(f) * memory + sigmoid(i) * np.tanh(g)
        return np.concatenate([sigmoid(o) * np.tanh(memory), memory])

    return lstm, 2 * n


def independent(step, size, seed, boxed):
    """Roots by MINPACK from many starts, each once: random states at four scales, and states on their orbits."""
    import scipy.optimize

    rng, found = np.random.default_rng(1000 + seed), []
    for k in range(STARTS):
        start = rng.normal(size=size) * (0.3, 1.0, 2.0, 4.0)[k % 4]
        for _ in range(rng.integers(0, 30) if k % 2 else 0):
            start = step(start)
        root = scipy.optimize.root(lambda h: step(h) - h, start, method="hybr", options={"xtol": 1e-13})
        # a GRU's fixed point is the value of a tanh, as z < 1; far outside z rounds to 1, and anything is fixed
        inside = np.max(np.abs(root.x)) < 1 or not boxed
        if (
            inside
            and np.linalg.norm(step(root.x) - root.x) < 1e-10
            and all(np.linalg.norm(root.x - p) > 1e-5 for p in found)
        ):
            found.append(root.x)
    return np.array(found).reshape(-1, size)


def compare(folder):
    """Counts of both searches, and the largest distance between points that both have."""
    import rnn

    print(
        f"{'network':<38} {'ours':>5} {'SciPy':>5} {'both':>5} {'apart':>8} {'index':>5} {'s ours':>7} {'s SciPy':>7}"
    )
    agree = 0
    for entry in NETWORKS:
        cell, seed = entry[0], entry[-1]
        path = folder / name_of(*entry)
        began = time.process_time()
        report = rnn.load_report(path, activation=cell if cell in ("tanh", "relu") else None)
        ours = rnn.fixed_points(report.model, size=report.size)
        middle = time.process_time()
        with np.load(path) as arrays:
            step, size = step_of(cell, arrays)
            theirs = independent(step, size, seed, cell == "gru")
        end = time.process_time()
        gaps = np.linalg.norm(ours.points[:, None] - theirs[None], axis=2)
        near = gaps.min(axis=0) if len(ours) else np.full(len(theirs), np.inf)
        both = int(np.sum(near < 1e-6))
        same = both == len(ours) == len(theirs)
        agree += same
        more = f"; {'; '.join(map(str, ours.continua))}" if ours.continua else ""
        apart = max(near[near < 1e-6], default=np.nan)
        print(
            f"{path.stem:<38} {len(ours):>5} {len(theirs):>5} {both:>5} {apart:>8.1e} {ours.index_sum:>5} "
            f"{middle - began:>7.1f} {end - middle:>7.1f}{'' if same else '  differ'}{more}",
            flush=True,
        )
    print(f"{agree} of {len(NETWORKS)} agree point by point")


if __name__ == "__main__":
    {"train": train, "compare": compare}[sys.argv[1]](Path(sys.argv[2]))
