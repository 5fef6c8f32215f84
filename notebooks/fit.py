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
# # From a trained network to the law behind it
#
# A recurrent network is trained until its first bifurcation. Along the direction in which its kernel is largest the
# amplification is measured, and laws compete for it. The normal form of the network predicts the scales of the winner
# without a free parameter; both are put side by side. Then two horizons are brought onto one curve, and the
# coefficients of the law are found again from its decimal values.

# %%
import os

import numpy as np

import normalforms as nf
import rnn
from normalforms.testing import coefficient_values, rediscover

steps = int(os.environ.get("NOTEBOOK_STEPS", "700"))
run = rnn.train(rnn.student_teacher(0), steps=steps, diagnose_every=0)
event = rnn.bifurcations(run, every=100, first=1)[0]
event.kind, round(event.step), event.multiplier

# %% [markdown]
# ## Competition
#
# The kernel restricted to its dominant direction, and the laws that could be behind it. Families that differ by scales
# only are one class. Here the data have no noise, so any law misfits in the end; the status says where and by how much.

# %%
sweep = rnn.restrict(event)
found = rnn.fit(sweep, prediction=rnn.predict(sweep))
print(found)

# %%
found.plot()

# %% [markdown]
# ## Small initial states
#
# Close to the fixed point the normal form is nearly all there is. With initial states a tenth as large the fitted
# scales come within some per cent of the predicted ones. Data without noise show the rest as misfit.

# %%
small = rnn.restrict(event, sweep.direction, h0=event.point + 0.1 * (sweep.h0 - event.point), span=(0.97, 1.03))
near = rnn.fit(small, window=(0.97, 1.03), laws="pitchfork")
print(near)

# %% [markdown]
# ## Collapse
#
# Two horizons at once, the critical point free. In the variable `b T (x − x*)` all points fall on one curve.

# %%
horizons = (20, 60)
parts = [
    rnn.restrict(event, small.direction, h0=small.h0, horizon=T, span=(1 - 1.5 / T, 1 + 1.5 / T), count=25)
    for T in horizons
]
joint = nf.fit(
    np.concatenate([p.parameter for p in parts]),
    np.concatenate([p.amplification for p in parts]),
    horizon=np.repeat(horizons, 25),
    initial=small.initial,
    laws="pitchfork",
    critical="free",
)
print(joint)
joint.plot()

# %% [markdown]
# ## Rediscovery
#
# The coefficient of `h_0⁴`, in symbolic g and T, from sixty-digit values of it at points on a circle of g.

# %%
again = rediscover(coefficient_values(nf.pitchfork(), 4), degree=lambda T: 4 * T, powers=2, exponents=(0, 2, 4))
again.checks, again.digits

# %%
again.expr
