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
# # Forecasting a training
#
# A network of 64 neurons learns a teacher with four stable fixed points. Its loss hardly moves for a long time and then
# drops, as the multiplier of the origin passes 1. When?

# %%
import os

import matplotlib.pyplot as plt
import numpy as np

import normalforms as nf
import rnn

steps = int(os.environ.get("NOTEBOOK_STEPS", "900"))
size = int(os.environ.get("NOTEBOOK_SIZE", "64"))
task = rnn.student_teacher(0, size=size, batch=4 * size)

# %% [markdown]
# From the first step, before anything is trained: the flow of descent, with some fifty gradients.

# %%
view = rnn.forecast(task.student, task, ahead=2000, after=100)
view.status, view.detail, view.cost

# %% [markdown]
# The training itself.

# %%
run = rnn.train(task, steps=steps, diagnose_every=0)
figure, axis = plt.subplots(figsize=(7, 4), layout="constrained")
axis.semilogy(run.loss, color="black", label="training")
axis.semilogy(view.steps, view.losses, "--", label="forecast from step 0")
axis.axvline(view.crossing, lw=0.8)
axis.set(xlabel="training step", ylabel="loss", xlim=(0, steps))
axis.legend()
figure

# %% [markdown]
# Late in training the law does it with four gradients and one quadrature. A twin of 18 neurons sees past the crossing.

# %%
late = max(0, int(np.nan_to_num(view.crossing)) - 50)
law = rnn.forecast(run, at=min(late, steps), method="law")
twin = rnn.forecast(run, at=min(late, steps), method="twin", after=100)
[(v.method, v.status, v.crossing, v.error) for v in (law, twin)]

# %% [markdown]
# In one dimension everything can be written down: the sharpness at the teacher is the amplification, and beyond its
# edge descent doubles its period.

# %%
study = nf.learning(nf.pitchfork(), teacher=1.1, initial=0.1, horizon=30)
edge = study.critical_rate()
regimes = study.diagram(edge * np.array([0.5, 1.2, 3.0]), steps=300).regime[:, 0]
edge, regimes
