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
# # Noise at a pitchfork
#
# What an input does to the amplification, from the exact expectation, the scaling function and the strongly driven
# law. The formulas are in `docs/noise.md`.

# %%
import os

import matplotlib.pyplot as plt
import numpy as np

import normalforms as nf

nodes = int(os.environ.get("NOTEBOOK_NODES", "40"))
law = nf.amplification(nf.pitchfork())
figure, axes = plt.subplots(1, 3, figsize=(13, 3.8), layout="constrained")

# %% [markdown]
# ## The transition is rounded, and moves
#
# The mean of A over 60 steps from rest, against g, for three strengths. Lines are the scaling function, dots the
# expectation of the map, without a draw. At criticality no noise raises it above T²/40.

# %%
T = 60
for sigma in (0.002, 0.02, 0.1):
    noisy = law.driven(nf.White(sigma, law="binary"))
    g = np.linspace(0.93, 1.05, nodes)
    (line,) = axes[0].semilogy(g, noisy.scaling().evaluate(T * (g - 1), T**2 * sigma**2) * T**2, label=f"σ = {sigma}")
    some = g[:: max(1, nodes // 6)]
    axes[0].semilogy(some, noisy(some, 0.0, T), "o", color=line.get_color())
axes[0].axhline(T**2 / 40, color="grey", lw=0.7)
axes[0].set(xlabel="g", ylabel="E A, T = 60")
axes[0].legend()

# %% [markdown]
# ## The power of T tells the input
#
# The linear family at criticality, from rest.

# %%
horizons = np.unique(np.geomspace(4, 400, nodes).astype(int))
linear = nf.amplification(nf.stability_flip())
for noise, name in (
    (nf.Sinusoid(0.1, 1.0), "oscillation, T³"),
    (nf.White(0.1), "white, T⁴"),
    (nf.Constant(0.1), "constant, T⁵"),
):
    axes[1].loglog(horizons, [linear.driven(noise)(1.0, 0.0, int(T)) for T in horizons], label=name)
axes[1].set(xlabel="T", ylabel="E A at g = 1")
axes[1].legend()

# %% [markdown]
# ## The mean leaves the orbits
#
# In units of σ, m = (g − 1)/σ: every orbit's exponent is negative, and above m = 1.0243 the mean grows all the same.

# %%
m = np.linspace(-2, 3, nodes)
noisy = law.driven(nf.White(0.05))
axes[2].plot(m, [noisy.exponent(v) for v in m], label="exponent of an orbit")
axes[2].plot(m, [noisy.moment_exponent(v) for v in m], label="growth of the mean")
axes[2].axvline((noisy.threshold() - 1) / 0.05, color="grey", lw=0.7)
axes[2].axhline(0, color="black", lw=0.7)
axes[2].set(xlabel="m", ylabel="rate, in units of σ")
axes[2].legend()
figure
