"""Figure 1: a network trained through its bifurcation, and its restricted kernel."""
