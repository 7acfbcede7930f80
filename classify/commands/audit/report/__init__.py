"""The files of an audit's run: tables, pictures and pages; run.json comes last."""
