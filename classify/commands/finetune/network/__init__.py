"""The network cut in two, and put together again."""
