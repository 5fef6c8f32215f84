"""Recurrent networks in JAX: training, state-space NTK, bifurcations, restricted kernels."""
