"""`label`: the pictures of a data set get their labels, in the order that teaches a head most."""
