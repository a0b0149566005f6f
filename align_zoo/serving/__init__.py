"""Behind Triton: what the model repository calls; finding, starting and watching tritonserver."""
