"""Figure 2: the laws of the named families."""
