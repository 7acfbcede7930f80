"""Fine-tuning: from the best linear head to a whole network that is never worse on the validation part."""
