"""Figure 4: natural gradient beside other optimizers."""
