"""What `zoo.explain` knows of each kind of input, a file each, and of models that answer in words."""
