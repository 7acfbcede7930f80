"""Where a fine-tune starts: a head on one network's rows, and the pictures that decide whether anything beats it."""
