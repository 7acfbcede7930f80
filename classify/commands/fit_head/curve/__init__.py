"""What more labels would bring: accuracy against their number, the law it follows, and the plot of both."""
