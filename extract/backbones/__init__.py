"""Which pretrained networks there are, and each as a Keras model.

Doors: `backbone.Backbone`, `families.FAMILIES`, `network.build_embedder`, `preprocessing.PREPROCESSING`.
"""
