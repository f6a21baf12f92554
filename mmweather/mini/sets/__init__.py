"""The drawn worlds in the layouts of the published datasets."""
