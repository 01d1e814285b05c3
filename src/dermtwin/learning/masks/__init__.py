"""Training of the mask networks that `dermtwin.preparation` ships."""
