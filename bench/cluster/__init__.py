"""The runs of a table on a Slurm cluster: what is sent, what runs there, and how it stands."""
