"""What a folder or a table of images is, and which images it lists."""
