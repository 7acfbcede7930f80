"""What the frozen part of a network gives for pictures: kept in the cache by view, or computed at each asking."""
