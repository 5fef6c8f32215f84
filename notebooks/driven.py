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
# # A network with inputs
#
# The one-bit flip-flop: pulses of ±1 come at random, and the network is to show the sign of the last. It has to learn a
# memory, two states that stay apart without input. Three questions. When does the memory appear? How does the kernel
# grow there, under input? And what do the pulses do to that growth?
#
# The network has no bias and a fixed read-out, so that a pitchfork without input gives it its two states.

# %%
import os

import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax

import normalforms as nf
import rnn

size = int(os.environ.get("NOTEBOOK_SIZE", "32"))
steps = int(os.environ.get("NOTEBOOK_STEPS", "400"))
descent = optax.sgd(5e-3)
full = rnn.flip_flop(0, bits=1, size=size, batch=2 * size)
weight = full.student.weight * (0.5 / np.abs(np.linalg.eigvals(full.student.weight)).max()).astype("f")
student = rnn.VanillaRNN(weight, None, input_weight=full.student.input_weight)
task = rnn.Task(student, full.h0, full.targets, full.inputs, readout=full.reader)

# %% [markdown]
# ## When
#
# Before anything is trained the flow of descent says when the multiplier without input will pass 1. Then the training.
# Beside the point without input another is followed: the orbit that weak pulses of both signs lock, whose multiplier is
# of ten steps.

# %%
foreseen = rnn.forecast(student, task, optimizer=descent, ahead=1000)
run = rnn.train(task, descent, steps, save_every=2, diagnose_every=0)
pulses = np.zeros((10, 1), "f")
pulses[0], pulses[5] = 0.3, -0.3
start = np.zeros((1, size))
events = {
    "no input": rnn.bifurcations(run, periods=(1,), every=steps / 8, starts=start),
    "±0.3 by turns": rnn.bifurcations(run, inputs=pulses, periods=(1,), every=steps / 8, starts=start),
}
seen = {name: [(event.kind, round(event.step, 1)) for event in diagram] for name, diagram in events.items()}
foreseen.crossing, foreseen.cost.gradients, seen

# %% [markdown]
# The pitchfork without input is where the forecast has it. Under pulses of both signs the orbit keeps its pitchfork,
# but later: what swings on the network's bends costs gain. Two branches below 1 are the memory's states.

# %%
figure, axes = plt.subplots(1, 2, figsize=(11, 3.8), layout="constrained")
axes[0].semilogy(run.loss, color="black", label="training")
axes[0].semilogy(foreseen.steps, foreseen.losses, "--", color="tab:red", label="foreseen from step 0")
axes[0].axvline(foreseen.crossing, color="tab:red", lw=0.8)
axes[0].set(xlabel="training step", ylabel="loss", xlim=(0, steps))
for (name, diagram), color in zip(events.items(), ("tab:blue", "tab:green"), strict=True):
    label = name
    per_step = 1 / len(pulses) if "turns" in name else 1
    for branch in diagram.branches:
        if len(branch.places) > 1:
            growth = [np.abs(place.multipliers).max() ** per_step for place in branch.places]
            axes[1].plot(branch.steps, growth, color=color, lw=1.2, label=label)
            label = None
    for event in diagram:
        axes[1].plot(event.step, 1, "o", color=color)
axes[1].axvline(foreseen.crossing, color="tab:red", lw=0.8)
axes[1].axhline(1, color="grey", lw=0.7)
axes[1].set(xlabel="training step", ylabel="largest multiplier, per step", ylim=(0.45, 1.3))
for axis in axes:
    axis.legend()
figure

# %% [markdown]
# ## The memory
#
# The trained network, its input as the parameter. Two states live side by side until a held input is large enough to
# fold one of them away: a switch with hysteresis.

# %%
last = run.model(steps)
reach = 0.12
along = np.linspace(-reach, reach, 17)
switch = rnn.bifurcations(rnn.path(last, x=along[:, None].astype("f")), periods=(1,), every=1)
memory, axis = plt.subplots(figsize=(5.5, 3.8), layout="constrained")
for branch in switch.branches:
    x, points = np.interp(branch.steps, np.arange(17), along), [jnp.asarray(p.point, "f") for p in branch.places]
    y = [float(task.readout(point)[0]) for point in points]
    stable = np.array([np.abs(p.multipliers).max() < 1 for p in branch.places])
    for solid in (True, False):
        shown = np.where(stable == solid, y, np.nan)
        axis.plot(x, shown, "-" if solid else ":", color="tab:blue" if solid else "tab:red", lw=2)
for event in switch:
    axis.plot(event.model.x, task.readout(event.point), "ko")
axis.set(xlabel="held input", ylabel="output", title="solid: stable, dotted: unstable")
memory

# %% [markdown]
# ## The kernel under input
#
# The restricted kernel of the driven network along its dominant direction, through the pitchfork without input. The
# inputs push the network far off its centre manifold. About the orbit that they force on the other directions it is
# foretold all the same, without a parameter that is fitted.

# %%
event = events["no input"][0]
sweep = rnn.restrict(event, inputs=task.inputs, h0=task.h0, count=11)
foretold = rnn.predict(sweep)
kernel, axes = plt.subplots(1, 2, figsize=(11, 3.8), layout="constrained")
for rung, color in zip(foretold.rungs, ("tab:orange", "tab:green", "tab:blue"), strict=True):
    off = f"{rung}: {foretold.max_relative_error(rung):.2%}"
    axes[0].semilogy(sweep.parameter, foretold.rungs[rung], color=color, label=off)
axes[0].semilogy(sweep.parameter, sweep.amplification, "o", color="black", ms=4, label="measured")
axes[0].set(xlabel="multiplier λ without input", ylabel="‖J(s) v‖²", title="restricted kernel; largest error of a rung")
axes[0].legend()

# %% [markdown]
# ## What pulses do to it
#
# White input of variance σ² rounds the transition off. The leading eigenvalue of the whole kernel at the pitchfork is
# then `‖∇λ‖² (B/c) T² Ψ(0, y)` with `y = T²σ²`, Ψ the scaling function of the noise law. Nothing is fitted here either.

# %%
form, T = event.normal_form, task.horizon
c = -float(np.real(form.coefficients["c3"]))
p = np.real(form.adjoint_eigenvector)
many = 2 * size
white = np.asarray(rnn.flip_flop(1, bits=1, size=1, batch=many, horizon=T + 1).inputs, float)[:, 1:]
unit = np.sqrt(c) * abs(p @ np.asarray(event.model.input_weight)[:, 0]) * white.std() * T
middle = int(np.argmin(np.abs(sweep.displacement)))
gradient = float(sweep.slope[middle]) / sweep.alignment
law = nf.amplification(nf.pitchfork()).driven(nf.White(1)).scaling()
strengths, found = np.geomspace(0.1, 10, 4), []
for y in strengths:
    x = jnp.asarray(np.sqrt(y) / unit * white, "f")
    top = float(rnn.sntk(run.model(event.step), jnp.zeros((many, size)), inputs=x).leading(1).singular_values[0]) ** 2
    found.append(top * c / (gradient**2 * many * T**2))
line = np.geomspace(strengths[0], strengths[-1], 40)
axes[1].loglog(line, [float(law.evaluate(0.0, y)) for y in line], color="tab:blue", label="law, Ψ(0, y)")
axes[1].loglog(strengths, found, "o", color="black", label="network")
axes[1].set(xlabel="y = T²σ²", ylabel="λ₁ c / (‖∇λ‖² B T²)", title="leading eigenvalue at the pitchfork")
axes[1].legend()
kernel
