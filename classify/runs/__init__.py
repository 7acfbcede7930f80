"""What a run leaves behind, and how it is found again.

Doors: `folder.find_run`, `record.record`, `head_file.load_head`, `predictions.read_pictures`, `readings.Log`,
`scores.load`.
"""
