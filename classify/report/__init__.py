"""How figures are shown: tables, plots, names."""
