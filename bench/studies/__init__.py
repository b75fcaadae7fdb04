"""One module for each table of the paper: its nets and runs, and the published numbers that they answer."""
