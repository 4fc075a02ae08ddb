"""Where results go: archives, directories, layouts."""
