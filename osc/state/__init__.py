"""What osc knows of its changes, kept in the target database beside the data it is about."""
