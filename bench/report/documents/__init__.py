"""Generated parts of the documents outside tables/."""
