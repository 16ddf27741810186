"""Links to pictures, and pictures from links: lists, guards, downloads, and where each picture came from."""
