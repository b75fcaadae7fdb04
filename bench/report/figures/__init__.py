"""What is drawn: charts as data, and pictures of them."""
