"""report: the page of a run built again, or two runs side by side."""
