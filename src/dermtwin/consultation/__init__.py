"""The one question: a picture in, its nearest cases out."""
