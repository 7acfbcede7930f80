"""`compare-backbones`: every backbone on one sample, accuracy against cost."""
