"""The run's own head beside the tuned network: both answer, where that is better than either."""
