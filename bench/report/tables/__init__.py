"""The page of every table: its rows from finished runs, its figures, and what is said of them."""
