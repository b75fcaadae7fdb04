"""The nets of He, Zhang, Ren and Sun, arXiv 1512.03385, and nothing else. Imports torch only."""
