"""`fit-head`: heads searched, calibrated, tested once, compared."""
