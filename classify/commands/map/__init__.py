"""`map`: the pictures of a data set in two dimensions, alike beside alike, as one page."""
