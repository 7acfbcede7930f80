"""A run as one HTML file, made of nothing but what is in its folder, and the pictures it is about.

Doors: `page.write_page`, `pair.write_pair`.
"""
