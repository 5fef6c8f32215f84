"""Figure 3: two unstable modes."""
