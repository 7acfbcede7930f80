"""What is kept: image keys, manifests and sealed HDF5 shards of embeddings."""
