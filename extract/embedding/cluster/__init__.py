"""Many machines embed one manifest: Ray carries rows of it to workers, which seal shards themselves.

Doors: `driver.embed_on_ray`, `connection.connected`. Nothing outside this room imports Ray.
"""
