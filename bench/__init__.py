"""The harness: plan the runs of a table, send what is missing, hold what came out against the paper."""
