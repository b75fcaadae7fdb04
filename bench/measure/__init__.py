"""What is measured on a net without training it."""
