"""The figure on networks with inputs."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

import normalforms as nf
from normalforms.report import COLOURS, style
from rnn.studies.driven.study import NO_INPUT, Driven, Trained

__all__ = ["figure_driven"]

_TINT = (COLOURS["blue"], COLOURS["orange"], COLOURS["green"], COLOURS["red"], "0.5")
_RUNGS = {"scalar": COLOURS["orange"], "response": COLOURS["green"], "second": COLOURS["blue"]}


@style
def figure_driven(found: Driven) -> Figure:
    """Of each network the multipliers, and loss beside rank; driven prediction; noise law."""
    figure = Figure(figsize=(13, 7.5), layout="constrained")
    axes = figure.subplots(2, 3)
    for row, network in zip(axes, (found.flip, found.wave), strict=True):
        _multipliers(row[0], network)
        _fall(row[1], network)
    _prediction(axes[0, 2], found)
    _noise(axes[1, 2], found)
    return figure


def _multipliers(ax: Any, network: Trained) -> None:
    for (name, diagram), colour in zip(network.events.items(), _TINT, strict=False):
        label = name
        for branch in diagram.branches:
            if len(branch.places) > 1:
                largest = [np.max(np.abs(place.multipliers)) for place in branch.places]
                ax.plot(branch.steps, largest, color=colour, lw=1, label=label)
                label = None
        for event in diagram:
            ax.plot(event.step, 1, "o", color=colour, ms=5)
    ax.plot(network.steps, network.typical, color="0.2", lw=2, label="exp(exponent), mean")
    ax.plot(network.steps, network.largest, ":", color="0.2", lw=1.5, label="exp(exponent), largest")
    ax.axhline(1, color="0.6", lw=0.8)
    ax.set(xlabel="training step", ylabel="growth per step", title=f"{network.name}: multipliers and exponents")
    ax.set_ylim(0.4, 1.6)
    ax.legend(fontsize=7)


def _fall(ax: Any, network: Trained) -> None:
    run, rank = network.run, network.run.diagnostics
    ax.semilogy(np.arange(run.steps), run.loss / run.loss[0], color=COLOURS["blue"], label="loss, over its first")
    ax.semilogy(
        rank["step"], rank["stable_rank"] / rank["stable_rank"][0], color=COLOURS["red"], label="rank, over its first"
    )
    for event in network.events[NO_INPUT]:
        ax.axvline(event.step, color="0.4", ls="--", lw=1)
    ax.set(xlabel="training step", ylabel="share of the start", title=f"{network.name}: loss and stable rank")
    ax.legend(fontsize=8)


def _prediction(ax: Any, found: Driven) -> None:
    for part in [part for part in found.predicted if part.factor == 1]:
        sweep = part.sweep
        ax.plot(sweep.parameter, sweep.amplification, "o", color="black", ms=4, label="measured")
        for rung, colour in _RUNGS.items():
            ax.plot(sweep.parameter, part.prediction.rungs[rung], color=colour, label=rung)
        ax.set_title(f"flip-flop, pulses × {part.factor:g}: restricted kernel")
        ax.legend()
    ax.set(xlabel="multiplier λ without input", ylabel="‖J(s) v‖²")


def _noise(ax: Any, found: Driven) -> None:
    if found.noise:
        y = np.geomspace(found.noise[0].y, found.noise[-1].y, 60)
        law = nf.amplification(nf.pitchfork()).driven(nf.White(1)).scaling()
        ax.loglog(y, [law.evaluate(0.0, v) for v in y], color=COLOURS["blue"], label="law, Ψ(0, y)")
        ax.loglog([n.y for n in found.noise], [n.measured for n in found.noise], "o", color="black", label="measured")
        ax.legend()
    ax.set(xlabel="y = T²σ²", ylabel="λ₁ c / (‖∇λ‖² B T²)", title="flip-flop at its pitchfork: noise law")
