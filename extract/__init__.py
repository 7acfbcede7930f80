"""Pictures to embeddings: scan, decode, backbones, engines and the pipeline that joins them."""
