"""One job array out of a list of calls. Knows Slurm and submitit, and nothing of what is run."""
