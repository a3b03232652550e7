"""What the function costs, measured beside what others would deploy; none of it ships."""
