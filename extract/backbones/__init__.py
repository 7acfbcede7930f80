"""Which pretrained networks there are, and each as a Keras model."""
