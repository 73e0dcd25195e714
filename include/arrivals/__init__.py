"""What arrives: the landing folder, uploads, pasted codes, the settings files beside them; and how it is taken."""
