"""Where pictures lie: an address, which joins root and path of a manifest, to the bytes there.

Doors: `place.join`, `place.open_at`. A kind of place of its own is a file here, which `place` chooses by the address.
"""
