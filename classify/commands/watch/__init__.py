"""`watch`: pictures are classified as they arrive in a folder."""
