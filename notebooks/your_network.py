# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Your own network
#
# Somebody trained a network in PyTorch and kept its checkpoints. Here we stand in for them: a vanilla network whose
# recurrent gain grows from checkpoint to checkpoint, saved under PyTorch's names.

# %%
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import rnn

rng = np.random.default_rng(1)
size, steps = 12, (0, 100, 200, 300, 400)
bulk = rng.normal(size=(size, size)) / np.sqrt(size)
mode = np.linalg.qr(rng.normal(size=(size, 1)))[0]
folder = Path(tempfile.mkdtemp())
for step in steps:
    recurrent = 0.3 * bulk + (0.6 + 0.002 * step) * mode @ mode.T
    weights = {"rnn.weight_hh_l0": recurrent, "rnn.weight_ih_l0": mode, "head.weight": mode.T}
    np.savez(folder / f"step_{step}.npz", **weights)

# %% [markdown]
# ## Read them
#
# A file of `nn.RNN` does not say whether it is tanh or relu. Say it, and nothing is taken for granted.

# %%
found = rnn.load_report(folder / "step_0.npz", activation="tanh")
for line in found.lines:
    print(line)
models = [rnn.load(folder / f"step_{step}.npz", activation="tanh") for step in steps]

# %% [markdown]
# ## Fixed points
#
# Without input there is one at first, and three in the end.

# %%
points = [rnn.fixed_points(model) for model in (models[0], models[-1])]
[(len(p), int(p.stable.sum()), p.status) for p in points]

# %% [markdown]
# ## What happened on the way
#
# A path of models is followed like a training run.

# %%
events = rnn.bifurcations(rnn.path(models, steps), every=1)
event = events[0]
event.kind, event.step, event.normal_form.coefficients["c3"]

# %% [markdown]
# ## The kernel through the event
#
# Along the dominant parameter direction the kernel is rank one. Its norm is predicted from the normal form. No number
# is fitted.

# %%
sweep = rnn.restrict(event, h0=rng.normal(size=(64, size)), horizon=25)
prediction = rnn.predict(sweep)
figure, axis = plt.subplots(figsize=(6, 4), layout="constrained")
axis.plot(sweep.parameter, sweep.amplification, "ko", ms=3, label="measured")
axis.plot(sweep.parameter, prediction.amplification, label=f"predicted, R² {prediction.r2():.4f}")
axis.axvline(1, color="0.7", ls=":")
axis.set(xlabel="critical multiplier", ylabel="‖J(s) v‖²")
axis.legend()
figure

# %% [markdown]
# ## Held inputs
#
# An input that does not change moves the fixed points. Strong enough, it leaves one.

# %%
held = {x: rnn.fixed_points(rnn.held(models[-1], [x])) for x in (0.0, 0.1, 0.8)}
{x: (len(p), int(p.stable.sum())) for x, p in held.items()}

# %% [markdown]
# The same from the command line, with a report: `normalforms analyze FOLDER --activation tanh`.
