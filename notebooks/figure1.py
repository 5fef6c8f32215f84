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
# # Figure 1: a recurrent network goes through its first bifurcation
#
# A student learns to follow a teacher with nine fixed points. One run, its bifurcations, and the kernel at the first.

# %%
import os

from rnn.studies.experiment import figure1, figure_bias, headline, reproduce

steps = int(os.environ.get("NOTEBOOK_STEPS", "1500"))
story = reproduce("quick", steps=steps)
headline(story)

# %%
figure1(story)

# %% [markdown]
# With a trainable bias there is a fold in the pitchfork's place:

# %%
figure_bias(story)
