"""How a map becomes a picture: colours, limits, words; the same for viewer, figures and reports."""
