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
# # Training through bifurcations
#
# A student with a trained bias, by gradient descent at 5e-3, by smooth mode at the same rate, and by fast mode. What
# the modes do, and when they do not help, is in `docs/natural-gradient.md`; `normalforms reproduce --only fig3,fig4`
# makes the long version.

# %%
import os

import rnn
from rnn.studies.descents import descents, figure4, summary

steps = int(os.environ.get("NOTEBOOK_STEPS", "2000"))
study = descents("quick", steps=steps, others=["fast"], rates=[])
summary(study)

# %%
figure4(study)

# %% [markdown]
# ## Told before it happens
#
# A look every 20 steps at a fixed point of a student of 32 neurons: will the loss push its multiplier through one?

# %%
task = rnn.student_teacher(0, size=32, batch=32)
run = rnn.train(task, steps=800, diagnose_every=0)
seen = rnn.watch(task.student, task.h0, task.horizon, loss=task.loss)
notices = {}
for step in range(0, 800, 20):
    seen = seen.look(run.model(step), step)
    if seen.notice is not None:
        notices[step] = seen.notice
    if seen.notice is not None and seen.notice.confirmed:
        break
first, last = min(notices), max(notices)
print(f"step {first}: {notices[first].kind} in about {notices[first].steps:.0f} steps; it comes at step {last}")
