"""What people look at after a fine-tune."""
