"""Ground floor: text to ids. Knows files, labels, words and ids; knows no model and no HTTP."""
