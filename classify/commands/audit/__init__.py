"""`audit`: wrong labels, odd pictures, copies and lopsided classes, from what the cache holds."""
