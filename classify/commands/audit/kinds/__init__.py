"""One file for each kind of issue; each looks at the evidence and returns issues, the worst first."""
