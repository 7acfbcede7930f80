"""Pages: one HTML file each, which opens anywhere, asks for nothing elsewhere and can be read without script.

Doors: `environment.render`, `svg.svg`, `thumbnails.thumbnail` and `thumbnails.of_rows`.

To add a page, put `NAME.html.j2` into `templates/` and call `render("NAME.html.j2", **what_it_says)`:

    {% extends "base.html.j2" %}
    {% import "parts.html.j2" as parts %}
    {% set styles = ["name.css"] %}                        beside style.css; leave out what is not needed
    {% set scripts = ["table.js"] %}                       each inlined, and allowed by its hash
    {% block title %}Flowers{% endblock %}                 of the window
    {% block main %}
    {{ parts.tiles([("Accuracy", "91.8%", "89.4% to 93.7%, n = 645")]) }}
    <section id="curve"><h2>Curve</h2><figure class="plot">{{ figure }}</figure></section>
    {% endblock %}

Whatever comes in is escaped, and names from the user's files stand between `<bdi>` and `</bdi>`, as they may be written
from right to left. A name that the template asks for and nobody gave is an error. Matplotlib's figures come in through
`svg`, which takes their colours from style.css where it knows them, so that they turn dark with the page; data for a
script stands in `<script type="application/json" id="...">{{ data|tojson }}</script>`. What a page looks like is a
class in style.css: a page of one's own should need little more.
"""
