"""What is counted of a net: parameters and multiply-adds."""
