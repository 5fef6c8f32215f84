"""Figure 4: natural gradient beside other optimizers."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from normalforms.report import style
from rnn.studies.descents.optimizers import OPTIMIZERS, PAIR
from rnn.studies.descents.study import Descents

__all__ = ["figure4"]

_JUMP = 0.01  # rise of the log loss in one step


@style
def figure4(study: Descents) -> Figure:
    """Loss against steps and time, SGD's first jump beside smooth mode, and variation by rate.

    The first seed is drawn bold, the others thin. Losses beyond thirty times the first are cut off.
    """

    def look_of(name: str) -> dict[str, Any]:
        return OPTIMIZERS[name].look

    figure = Figure(figsize=(13, 8), layout="constrained")
    axes = figure.subplot_mosaic([["A", "B"], ["C", "D"]])
    for k, runs in enumerate(study.seeds):
        for name, run in runs.items():
            step, weight = np.arange(1, len(run.loss) + 1), {"lw": 1.2} if k == 0 else {"lw": 0.6, "alpha": 0.4}
            axes["A"].loglog(step, run.loss, label=None if k else name, **weight, **look_of(name))
            axes["B"].loglog(step * run.seconds, run.loss, **weight, **look_of(name))
    top = 30 * max(runs["SGD"].loss[0] for runs in study.seeds)
    axes["A"].set(xlabel="training step", ylabel="loss (mean squared error)", ylim=(None, top))
    axes["B"].set(xlabel="wall time, s (compilation left out)", ylabel="loss (mean squared error)", ylim=(None, top))
    above = {"fontsize": 8, "loc": "lower center", "bbox_to_anchor": (0.5, 1), "columnspacing": 1}
    axes["A"].legend(ncols=min(len(study.runs), 6), **above)
    rises = [np.diff(np.log(run.loss)) for run in study.of("SGD")]
    first = [int(np.argmax(rise > _JUMP)) if rise.max() > _JUMP else len(rise) for rise in rises]
    k = int(np.argmin(first))
    at = first[k] if rises[k].max() > _JUMP else int(np.argmax(rises[k]))
    low, high = max(at - 150, 0), min(at + 250, len(rises[k]))
    for name in PAIR:
        loss = study.seeds[k][name].loss[low:high]
        axes["C"].semilogy(np.arange(low, low + len(loss)), loss, label=name, lw=1.2, **look_of(name))
    axes["C"].set(xlabel="training step, at SGD's first jump", ylabel="loss (mean squared error)")
    axes["C"].legend(ncols=2, **above)
    for name, row in zip(PAIR, study.variation, strict=True) if len(study.rates) else ():
        axes["D"].plot(study.rates, np.where(np.isfinite(row), row, np.nan), "o-", label=name, **look_of(name))
    axes["D"].set(xlabel="learning rate", ylabel="positive variation of log loss", xscale="log")
    axes["D"].set_yscale("symlog", linthresh=1e-3)
    varied = study.variation[np.isfinite(study.variation)]
    axes["D"].set_ylim(0, 3 * max(varied.max(initial=0), 1e-3))
    if len(study.rates):
        axes["D"].legend()
    for name, ax in axes.items():
        ax.set_title(name, loc="left", fontweight="bold")
    return figure
