"""`extract`, `manifest` and `backbones`, a file each."""
