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
# # Figure 2: amplification at four bifurcations
#
# For `h' = f(h, g)` the state-space NTK along `g` has rank one and norm `A_T = Σ (∂h_t/∂g)²`. Here is its mean
# over initial states, by direct iteration (solid) and by the uniform law of leading order (dashed).

# %%
import os

import normalforms as nf
from rnn.studies.laws import figure2, laws

nodes = int(os.environ.get("NOTEBOOK_NODES", "200"))
figure = figure2(laws(horizon=30, nodes=nodes))
figure

# %% [markdown]
# The pitchfork's law, exact through `h_0²` at any horizon, and valid through the bifurcation:

# %%
law = nf.amplification(nf.pitchfork())
law.series(2).expr

# %%
law.uniform().expr
