"""What happens in nets: responses, gradients, the loss around them. X.py measures, X_record.py reads back."""
