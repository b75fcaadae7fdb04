"""How fast nets train and are tested."""
