"""What a head may be trusted with: sets that hold the right class, pictures of something else, and silence in doubt.

Everything is learned from training pictures that the answering model had not seen, one of each group of near copies:
copies are no independent pictures, and what is counted here is independent pictures.

Axes: N such pictures; n pictures to answer for; K classes; D columns of a row.
"""
