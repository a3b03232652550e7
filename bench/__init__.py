"""What the function costs, measured next to what others would deploy. None of it ships."""
