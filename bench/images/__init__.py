"""From folders of JPEGs to batches: ImageNet, and any data set of one folder for each class (section 3.4)."""
