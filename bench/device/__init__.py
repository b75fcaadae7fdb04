"""Where a run computes: precision, processes, lanes of a GPU, the environment."""
