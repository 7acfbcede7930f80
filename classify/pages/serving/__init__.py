"""Pages that answer: one process, on this machine only, for whoever has the token of this start.

A page is a Starlette route beside others; the guards stand before all of them, and no page need think of them.
Scripts and styles of pages are files of `classify/report/html/templates`, at `/static/NAME`; pictures are at
`/pictures/KEY`, where KEY is 64 hexadecimal digits of a manifest. No path comes from a request.

Doors: `app.make_app`, `server.listen`, `server.serve`, `pictures.Pictures`.
"""
